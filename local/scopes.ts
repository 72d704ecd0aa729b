/** A scope that tokens of the contact centre are asked for, and what it lets them do. */
export interface Scope {
  scope: string;
  meaning: string;
}

/** Those that flows need; an integration may have others. */
export const SCOPES: readonly Scope[] = [
  {
    scope: "cjp:config_read",
    meaning: "Read the set-up of the contact centre: queues, teams, entry points, variables",
  },
  { scope: "cjp:config_write", meaning: "Change that set-up" },
  { scope: "cjp:config", meaning: "Read and change that set-up, for APIs that ask for it by this name" },
  { scope: "cjp:user", meaning: "Act as an agent or supervisor: tasks, agents, statistics" },
  { scope: "cjds:admin_org_read", meaning: "Journey Data Service: read people, events and templates" },
  { scope: "cjds:admin_org_write", meaning: "Journey Data Service: write people, events and templates" },
  { scope: "spark:people_read", meaning: "Read who people of the organization are" },
];
