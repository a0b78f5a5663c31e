// What the page gives to its modules: a part by Gradio, `rlhf` by head.js and ui/parts.py.

export interface Part {
  element: HTMLElement;
  props: { value: any };
  server: Record<string, (request: any) => Promise<any>>;
  watch(name: string, changed: () => void): void;
  trigger(event: string, detail?: object): void;
}

export interface Stage {
  title: string;
  tab: string;
  curves: Record<string, any>[];
}

declare global {
  interface Window {
    rlhf: {
      stages: Record<string, Stage>;
      scripts: string;
      secret(): string;
      voter(): string;
      load(name: string): Promise<any>;
      mount(name: string, part: Part): Promise<void>;
      fetchLater(names: string[]): void;
    };
  }
  const Plotly: any;
}
