// What the page gives to its modules: Gradio a part, head.js and ui/parts.py `rlhf`.

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
  curves: import("./shared/charts.js").Spec[];
}

declare global {
  // What the panels tell each other, see shared/navigation.js and tabs/feedback/events.js.
  interface WindowEventMap {
    "rlhf:tab": CustomEvent<string>;
    "rlhf:run": CustomEvent<{ id: string; kind: string }>;
    "rlhf:use": CustomEvent;
    "rlhf:board": CustomEvent<{ kind: string; run: import("./types").RunRow }>;
    "rlhf:predicted": CustomEvent;
    "rlhf:trace": CustomEvent<import("./lib/microscope.js").Place>;
    "rlhf:ask": CustomEvent<string>;
    "rlhf:show-lesson": CustomEvent<string>;
    "rlhf:course": CustomEvent<string>;
    "rlhf:lesson": CustomEvent;
    "rlhf:voted": CustomEvent;
    "rlhf:question": CustomEvent<{ question: string }>;
  }
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
