// Lets a library have its styles where the page's policy is `style-src 'self'`. It may not insert
// `<style>` elements nor write `style` attributes; constructed style sheets and the CSSOM are ours
// to use. So `document.createElement` gives it stand-ins, on the one page that needs them: the
// library stays as it was released, and the policy as strict as everywhere.

/** What is put where a `<style>` would be: its text becomes a sheet that the document adopts. */
function standIn() {
  const sheet = new CSSStyleSheet();
  const element = create("template");
  Object.defineProperty(element, "textContent", {
    get: () => "",
    set: (text) => sheet.replaceSync(String(text)),
  });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    Element.prototype.remove.call(element);
  };
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  return element;
}

/** @type {(this: HTMLElement, name: string, value: string) => void} */
function setThroughCssom(name, value) {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

const create = document.createElement.bind(document);

/** From now on what this page's scripts create is styled as the policy allows. */
export function adoptStyles() {
  /** @type {(name: string, options?: ElementCreationOptions) => HTMLElement} */
  const instead = (name, options) => {
    if (name === "style") return standIn();
    const element = create(name, options);
    if (name === "span") element.setAttribute = setThroughCssom;
    return element;
  };
  Object.defineProperty(document, "createElement", { value: instead });
}
