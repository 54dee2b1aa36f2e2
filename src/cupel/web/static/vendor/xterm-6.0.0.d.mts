/** What Cupel's pages use of xterm.js, for the checker of types. */
export interface Disposable { dispose(): void }
export interface Addon { activate(terminal: Terminal): void; dispose(): void }
export interface Options {
  allowProposedApi?: boolean; convertEol?: boolean; cursorBlink?: boolean; disableStdin?: boolean; fontFamily?: string;
  fontSize?: number; minimumContrastRatio?: number; screenReaderMode?: boolean; scrollback?: number;
  theme?: Record<string, string>;
}
export class Terminal {
  constructor(options?: Options);
  options: Options;
  readonly rows: number;
  readonly cols: number;
  readonly textarea: HTMLTextAreaElement | undefined;
  readonly parser: { registerOscHandler(ident: number, callback: (data: string) => boolean): Disposable };
  open(parent: HTMLElement): void;
  write(data: string | Uint8Array, callback?: () => void): void;
  reset(): void;
  focus(): void;
  paste(data: string): void;
  getSelection(): string;
  hasSelection(): boolean;
  loadAddon(addon: Addon): void;
  attachCustomKeyEventHandler(handler: (event: KeyboardEvent) => boolean): void;
  onData(listener: (data: string) => void): Disposable;
  onBinary(listener: (data: string) => void): Disposable;
  onResize(listener: (size: { cols: number; rows: number }) => void): Disposable;
}
