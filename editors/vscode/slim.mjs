// Leaves out of the bundle what the language client has for other servers than ours: 446 KB become 242.
//
// It is CommonJS, of which a bundler keeps everything that is named somewhere; and the client names every feature that
// the protocol has. Ours registers eight of them (`src/client.ts`), and the others are never looked at.
import { readFileSync } from "node:fs";

const FEATURES =
  "callHierarchy|codeAction|codeLens|colorProvider|declaration|definition|diagnostic|documentHighlight|documentLink|" +
  "documentSymbol|executeCommand|fileOperations|fileSystemWatcher|foldingRange|formatting|hover|implementation|" +
  "inlayHint|inlineValue|linkedEditingRange|notebook|reference|rename|selectionRange|semanticTokens|signatureHelp|" +
  "textDocumentContent|typeDefinition|typeHierarchy|workspaceSymbol";
const MESSAGES =
  "callHierarchy|colorProvider|declaration|diagnostic|fileOperations|foldingRange|implementation|inlayHint|" +
  "inlineValue|linkedEditingRange|moniker|notebook|selectionRange|semanticTokens|textDocumentContent|" +
  "typeDefinition|typeHierarchy";
const ITEMS = "CallHierarchyItem|CodeAction|CodeLens|Diagnostic|DocumentLink|InlayHint|TypeHierarchyItem|WorkspaceSymbol";
const UNUSED = new RegExp(
  `vscode-languageclient/lib/common/(${FEATURES}|protocol(${ITEMS}))\\.js$` +
    `|vscode-languageserver-protocol/lib/common/protocol\\.(${MESSAGES})\\.js$` +
    "|vscode-jsonrpc/lib/common/sharedArrayCancellation\\.js$" +
    // For documents of which it tells the server late; of ours it tells at once.
    "|vscode-languageserver-textdocument/lib/esm/main\\.js$" +
    // The client asks it whether the editor is new enough, which the editor has asked package.json before.
    "|semver/functions/(parse|satisfies)\\.js$",
);
const THEIRS = /node_modules\/vscode-[a-z-]+\/lib\/(common|node)\/.*\.js$/;

// What TypeScript puts at the head of each of their files, once.
const HELPERS = `
exports.__createBinding = (o, m, k, as = k) =>
  Object.defineProperty(o, as, { enumerable: true, configurable: true, get: () => m[k] });
exports.__exportStar = (m, o) => {
  for (const k of Object.keys(m)) if (k !== "default" && !(k in o)) exports.__createBinding(o, m, k);
};
exports.__importStar = (m) => (m?.__esModule ? m : { ...m, default: m });
exports.__importDefault = (m) => (m?.__esModule ? m : { default: m });
exports.__setModuleDefault = () => {};
`;
const HELPER = /^var __(\w+) = \(this && this\.__\1\) \|\|[^]*?^\}\)?(?:\(\)|\))?;$/gm;
const DECLARED = /^exports\.[\w$. =]+ = void 0;$/gm; // of names that get their values below
const REEXPORTS = "__exportStar("; // has to know the names of what the file itself defines

export const slim = {
  name: "slim",
  setup({ onLoad, onResolve }) {
    for (const [name, contents] of [
      ["slim-nothing", "module.exports = new Proxy(() => ({}), { get: () => class Unused {} });"],
      ["slim-helpers", HELPERS],
    ]) {
      onResolve({ filter: new RegExp(`^${name}$`) }, () => ({ path: name, namespace: "slim" }));
      onLoad({ filter: new RegExp(`^${name}$`), namespace: "slim" }, () => ({ contents }));
    }
    onLoad({ filter: UNUSED }, () => ({ contents: 'module.exports = require("slim-nothing");', resolveDir: "." }));
    onLoad({ filter: THEIRS }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      const once = text.replace(HELPER, (_, name) => `const { __${name} } = require("slim-helpers");`);
      return { contents: text.includes(REEXPORTS) ? once : once.replace(DECLARED, "") };
    });
  },
};
