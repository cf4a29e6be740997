// The policy of this page forbids code made from text: its library need not find out by trying.
globalThis.__zod_globalConfig = { jitless: true };

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
  });
});
