// The policy of this page forbids code made from text: its library need not find out by trying.
globalThis.__zod_globalConfig = { jitless: true };

// Its own colours for quiet text and for what is told by colour are too pale to be read by everybody.
const COLOURS = `
  .light-mode {
    --scalar-color-3: #666; --scalar-color-green: #006b44; --scalar-color-red: #b80000;
    --scalar-color-orange: #a33a00; --scalar-color-yellow: #775a00;
  }
  .dark-mode { --scalar-color-3: #9a9a9a; --scalar-color-red: #ff7b7b; }
  #way { margin: 1rem; font-family: system-ui; }
  #way a { color: var(--scalar-color-1); }`;

addEventListener("DOMContentLoaded", () => {
  // Nothing is loaded from, or told to, another host.
  Scalar.createApiReference("#reference", {
    url: "/openapi.json",
    withDefaultFonts: false,
    telemetry: false,
    agent: { disabled: true },
    mcp: { disabled: true },
    showDeveloperTools: "never",
    hideClientButton: true,
    documentDownloadType: "direct",
    defaultOpenAllTags: true,
    authentication: { preferredSecurityScheme: "apiKey" },
    persistAuth: false,
    customCss: COLOURS,
  });
});
