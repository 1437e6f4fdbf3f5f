/**
 * The language server's process: found, started, started anew, asked.
 *
 * What it is about at any moment is `situation`; who shows it listens.
 */

import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { type Disposable, type LogOutputChannel, EventEmitter, window, workspace } from "vscode";
import type { Client } from "./client";
import { isOn } from "./enabling";
import { type Disk, PROGRAM, find } from "./finding";
import * as settings from "./settings";
import { type Situation, situation, told } from "./situation";

/** What a command of the server answers. */
export type Answer = Readonly<Record<string, unknown>>;

export class Server implements Disposable {
  private readonly changes = new EventEmitter<Situation>();
  readonly onDidChange = this.changes.event;
  /** The program that runs, or is to. */
  program: string | undefined;
  private now = situation("starting");
  private client: Client | undefined;
  private restarting: Promise<void> = Promise.resolve();
  private isQueued = false;

  constructor(private readonly log: LogOutputChannel) {}

  get situation(): Situation {
    return this.now;
  }

  get isRunning(): boolean {
    return this.client?.isRunning() ?? false;
  }

  /** As it says it; empty while it does not run. */
  get version(): string {
    return this.client?.initializeResult?.serverInfo?.version ?? "";
  }

  /** Start it, or end it and start it anew. Who asks while that goes on is served by the one start after it. */
  restart(): Promise<void> {
    if (this.isQueued) return this.restarting;
    this.isQueued = true;
    this.restarting = this.restarting.then(async () => {
      this.isQueued = false;
      this.say(situation("starting")); // what was said last holds no longer
      await this.stop();
      await this.start();
    });
    return this.restarting;
  }

  /** End it; nobody who closes a window waits for that. */
  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    await client?.end();
  }

  /** The settings are others: what is on the screen may not be what would come now. */
  askAnew(): void {
    this.client?.ghostText.forget();
  }

  /** Have the editor ask for where the cursor is, as after a key. */
  async askHere(): Promise<void> {
    await this.client?.ghostText.askHere();
  }

  /** Find out how it is with a document, which somebody looks at by now. */
  async look(uri: string): Promise<void> {
    const client = this.client;
    try {
      const status = told(await this.order("status", uri));
      if (this.client === client) this.say(status);
    } catch {
      // It ends just now, which is said by whoever sees it end.
    }
  }

  /** Have it do one of its commands. Throws an Error with a sentence when it does not. */
  async order(name: string, ...args: string[]): Promise<Answer> {
    const client = this.client;
    if (!client?.isRunning()) throw new Error(this.now.detail || "The language server does not run.");
    const params = { command: `afterword.${name}`, arguments: args };
    const answer = (await client.sendRequest<Answer | null>("workspace/executeCommand", params)) ?? {};
    if (typeof answer.error === "string") throw new Error(answer.error);
    return answer;
  }

  dispose(): void {
    void this.stop();
    this.changes.dispose();
  }

  private async start(): Promise<void> {
    const program = (this.program = this.found());
    if (!program) {
      const setting = settings.path();
      const named = setting && `There is no program ${setting}, which the setting afterword.path names.`;
      this.say(situation("missing", named));
      return;
    }
    await new Promise(setImmediate); // the editor has other extensions to start
    // Most of the bundle is only read here; where there is no server, never.
    const { Client, State } = await import("./client");
    const client: Client = new Client(program, homedir(), this.log, () => {
      this.say(situation("stopped", "The language server ended again and again."));
    });
    this.client = client;
    client.onDidChangeState(({ newState }) => {
      if (this.client !== client) return;
      if (newState === State.Starting) this.say(situation("starting")); // after a crash as well
      if (newState === State.Running) void this.greet();
    });
    client.onNotification("afterword/status", (status: unknown) => {
      client.ghostText.forget(); // another model may serve, or it is off
      if (this.client === client) this.hear(told(status));
    });
    try {
      await client.start();
    } catch (error) {
      if (this.client !== client) return; // it was ended before it ran
      this.log.error(`${program} could not be started: ${String(error)}`);
      this.say(situation("stopped", "The language server could not be started."));
    }
  }

  /** The server looks for its daemon once a document is open; where none is, it would be starting for ever. */
  private async greet(): Promise<void> {
    if (window.activeTextEditor || !isOn(settings.enabling(), "")) return;
    try {
      await this.order("statistics");
    } catch {
      // What is wrong it says when it is looked at.
    }
    await this.look("");
  }

  /** It is about the document that was opened or closed last, which may be one that nobody looks at. */
  private hear(now: Situation): void {
    const here = window.activeTextEditor?.document.uri.toString() ?? now.uri;
    if (now.uri !== here) void this.look(here);
    if (now.uri === here || now.forgotten) this.say(now);
  }

  private say(now: Situation): void {
    this.now = now;
    this.changes.fire(now);
  }

  private found(): string | undefined {
    // What lies in a folder that is not trusted is not run.
    const folders = workspace.isTrusted ? (workspace.workspaceFolders ?? []) : [];
    const program = find(
      {
        setting: settings.path(),
        folders: folders.filter(({ uri }) => uri.scheme === "file").map(({ uri }) => uri.fsPath),
        home: homedir(),
        environment: process.env,
        platform: process.platform,
      },
      disk,
    );
    this.log.info(program ? `language server: ${program}` : `${PROGRAM} was not found`);
    return program;
  }
}

const disk: Disk = {
  isProgram(path) {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  },
  read(path) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return "";
    }
  },
};
