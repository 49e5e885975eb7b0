// The project on Railway: `railway config plan` shows what would change, `railway config apply` does it.
//
// Values are set in the dashboard: `preserve()` keeps what stands there. Add a line for each other
// variable that you set there (see README.md).

import { defineRailway, preserve, project, service, volume } from "railway/iac";

export default defineRailway(() => {
  const data = volume("assurebot-data", { sizeMB: 1024 });

  const bot = service("assurebot", {
    build: { builder: "DOCKERFILE", dockerfilePath: "Dockerfile" },
    healthcheck: "/health",
    healthcheckTimeout: 120,
    // One process holds the data, so a new one must not start beside the old one.
    replicas: 1,
    deploy: { restartPolicyType: "ALWAYS", overlapSeconds: 0, drainingSeconds: 30 },
    volumeMounts: { "/data": data },
    env: {
      TELEGRAM_BOT_TOKEN: preserve(),
      ALLOWED_USERS: preserve(),
      ANTHROPIC_API_KEY: preserve(),
    },
  });

  return project("assurebot", { resources: [bot, data] });
});
