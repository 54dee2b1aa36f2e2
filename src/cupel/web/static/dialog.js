// Dialogs and passing words. All text is set as text.

/**
 * Open a dialog over the page; Esc, its button and a click beside it close it, and the focus returns.
 * @param {string} title
 * @param {...Node} content
 */
export function open(title, ...content) {
  const dialog = document.createElement("dialog");
  const head = document.createElement("h2");
  head.id = "dialog-title";
  head.textContent = title;
  dialog.setAttribute("aria-labelledby", head.id);
  const actions = document.createElement("div");
  actions.className = "actions";
  actions.append(button("Close", () => dialog.close()));
  dialog.append(head, ...content, actions);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Ask before something is done that cannot be taken back.
 * @param {string} question
 * @param {string} word what the button says that does it
 * @param {() => void} action
 */
export function ask(question, word, action) {
  const text = document.createElement("p");
  text.textContent = question;
  const dialog = open("Are you sure?", text);
  const yes = button(word, () => {
    dialog.close();
    action();
  });
  yes.classList.add("grave");
  dialog.querySelector(".actions")?.append(yes);
}

/**
 * Say something in passing, such as that a text has been copied.
 * @param {string} text
 */
export function say(text) {
  const toasts = document.getElementById("toasts");
  if (!toasts) return;
  const toast = document.createElement("p");
  toast.textContent = text;
  toasts.append(toast);
  setTimeout(() => toast.remove(), 4000);
}

/** Let buttons with `data-copy="ID"` copy the text of the element with that id. */
export function copyOnClick() {
  document.addEventListener("click", async (event) => {
    const clicked = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
    if (!(clicked instanceof HTMLElement)) return;
    const text = document.getElementById(clicked.dataset.copy ?? "")?.innerText.trim() ?? "";
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch {
      say("The browser does not let pages copy; select the text instead");
    }
  });
}

/**
 * @param {string} word
 * @param {() => void} action
 */
function button(word, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = word;
  made.addEventListener("click", action);
  return made;
}
