// vscode-jsonrpc on Node over stdio, with a method `ping`; NODE_PATH says where it is installed.
const rpc = require("vscode-jsonrpc/node");
const connection = rpc.createMessageConnection(
  new rpc.StreamMessageReader(process.stdin),
  new rpc.StreamMessageWriter(process.stdout),
);
connection.onRequest("ping", () => ({ ok: true }));
connection.listen();
