/** What the daemon counted, as a page that can be read. Pure; what it does not know is left out. */

const MOST_DAYS = 14;

type Facts = Readonly<Record<string, unknown>>;

/** Markdown of what `afterword stats --json` prints. */
export function page(stats: Facts): string {
  const total = facts(stats.total);
  const days = Object.entries(facts(stats.days)).sort().reverse().slice(0, MOST_DAYS);
  const parts = [
    "# What Afterword saved you",
    sentence(total),
    days.length ? table(days.map(([day, counts]) => [day, facts(counts)])) : "",
    latency(facts(stats.latency_ms)),
    stats.counting === false ? "Counting is off: `stats = false` in the settings file." : "",
    "_Counted on this machine, without text, and told to nobody. " +
      "“In part” is what was taken word by word._",
  ];
  return `${parts.filter(Boolean).join("\n\n")}\n`;
}

function sentence(total: Facts): string {
  const shown = number(total.shown);
  if (!shown) return "Nothing was shown yet. Type a little, and take what is grey with Tab.";
  const taken = number(total.accepted) + number(total.partly);
  return (
    `**${plain(number(total.characters))} characters** that you did not have to type, ` +
    `by ${plain(taken)} of ${plain(shown)} suggestions (${Math.round((100 * taken) / shown)} %).`
  );
}

function table(days: readonly (readonly [string, Facts])[]): string {
  const rows = days.map(([day, counts]) => {
    const cells = ["shown", "accepted", "partly", "rejected", "characters"].map((name) => plain(number(counts[name])));
    return `| ${[day, ...cells].join(" | ")} |`;
  });
  const head = "| Day | Shown | Taken | In part | Typed over | Characters |";
  return [head, "|---|--:|--:|--:|--:|--:|", ...rows].join("\n");
}

function latency(found: Facts): string {
  if (!("p50" in found)) return "";
  const [p50, p95] = [number(found.p50), number(found.p95)];
  return `Half of the answers came within ${p50.toFixed(1)} ms, 95 in 100 within ${p95.toFixed(1)} ms.`;
}

function facts(value: unknown): Facts {
  return typeof value === "object" && value !== null ? (value as Facts) : {};
}

function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}

function plain(value: number): string {
  return Math.round(value).toLocaleString("en-GB");
}
