/** Metrics as Prometheus would read them: by the OpenMetrics parser of its own client library, which is not ours. */
import { spawn, spawnSync } from "node:child_process";
import { text as textOf } from "node:stream/consumers";

export type MetricSample = { name: string; labels: Record<string, string>; value: number };
export type MetricFamily = { name: string; type: string; unit: string; samples: MetricSample[] };

const PARSE = `
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = text_string_to_metric_families(sys.stdin.read())
print(json.dumps([{
  "name": family.name, "type": family.type, "unit": family.unit,
  "samples": [{"name": s.name, "labels": s.labels, "value": float(s.value)} for s in family.samples],
} for family in families]))
`;

const HOW =
  "install it: apt-get install python3-prometheus-client, or pip install prometheus_client";

/** One that has the library: Debian's is for Debian's own Python. */
function findPython(): string {
  const candidates = [process.env.PYTHON ?? "python3", "/usr/bin/python3"];
  const found = candidates.find(
    (python) => spawnSync(python, ["-c", "import prometheus_client"]).status === 0,
  );
  if (found === undefined) throw new Error(`no Python here has prometheus_client; ${HOW}`);
  return found;
}

let python: string | undefined;

/** The caller's own servers go on answering meanwhile. @throws for what is no OpenMetrics, and where there is no parser. */
export async function parseOpenMetrics(text: string): Promise<MetricFamily[]> {
  python ??= findPython();
  const parser = spawn(python, ["-c", PARSE]);
  parser.stdin.end(text);
  const [out, error] = await Promise.all([textOf(parser.stdout), textOf(parser.stderr)]);
  if (out === "") throw new Error(`not OpenMetrics: ${error.trim().split("\n").at(-1)}`);
  return JSON.parse(out);
}

/** What one series says; null when there is no such sample. */
export function sampleOf(
  families: readonly MetricFamily[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | null {
  const found = families
    .flatMap(({ samples }) => samples)
    .find(
      (sample) =>
        sample.name === name &&
        Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    );
  return found?.value ?? null;
}
