// @ts-check
// What the page needs before its modules load: a student's phone must hide the rest of the page
// from the first paint, and Gradio's own handlers ask for the visitor's secrets. The server fills
// in `stages`, and in `scripts` the folder of the modules.
(() => {
  const AFTER_THE_PAGE = 3000; // milliseconds

  const student = new URLSearchParams(location.search).has("class");
  if (student) document.documentElement.classList.add("rl-student-mode");

  const instructor = () => sessionStorage.getItem("rlhf_demo_instructor") || "";

  // A secret made in this browser is the only proof of who owns a run. The server keeps only its
  // hash.
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

  // Gradio runs a part's script as a function, where relative addresses do not work.
  const addressOf = (name) => new URL(`${window.rlhf.scripts}/${name}.js`, document.baseURI).href;
  const load = (name) => import(addressOf(name));
  const mount = async (name, part) => {
    const [{ patient }, module] = await Promise.all([load("lib/poll"), load(name)]);
    module.mount({ ...part, server: patient(part.server) });
  };

  // The modules of the other tabs are fetched once the page has been drawn. Gradio adds these lines
  // after the page's load event, so the event cannot start them.
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
