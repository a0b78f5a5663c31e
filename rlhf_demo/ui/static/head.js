// @ts-check
// What must stand before the page's modules and beside them: a student's phone shows nothing else
// of the page from the first paint on, and Gradio's own handlers ask for the visitor's secrets.
// The page adds `stages`, and as `scripts` the folder of the modules.
(() => {
  const AFTER_THE_PAGE = 3000; // milliseconds

  const student = new URLSearchParams(location.search).has("class");
  if (student) document.documentElement.classList.add("rl-student-mode");

  const instructor = () => sessionStorage.getItem("rlhf_demo_instructor") || "";

  // A secret made in this browser is all that says who owns a run. It never leaves but to be
  // hashed.
  const secret = () => {
    let kept = localStorage.getItem("rlhf_demo_secret");
    if (!kept) {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      kept = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      localStorage.setItem("rlhf_demo_secret", kept);
    }
    return instructor() || kept;
  };
  const voter = () => localStorage.getItem("rlhf_demo_rater") || "";

  // Gradio makes a function of a part's script, so only a whole address is found from there.
  const addressOf = (name) => new URL(`${window.rlhf.scripts}/${name}.js`, document.baseURI).href;
  const load = (name) => import(addressOf(name));
  const mount = async (name, part) => {
    const [{ patient }, module] = await Promise.all([load("lib/poll"), load(name)]);
    module.mount({ ...part, server: patient(part.server) });
  };

  // What the tabs need that are not open yet comes when the page has been drawn. Gradio writes
  // these lines into the page after it has been loaded, so that event is no sign.
  const fetchLater = (names) => {
    if (!student) setTimeout(() => names.forEach(preload), AFTER_THE_PAGE);
  };
  const preload = (name) => {
    const link = document.createElement("link");
    Object.assign(link, { rel: "modulepreload", href: addressOf(name) });
    document.head.append(link);
  };

  window.rlhf = { stages: {}, scripts: "", secret, voter, load, mount, fetchLater };
})();
