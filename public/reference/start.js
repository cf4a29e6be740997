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
