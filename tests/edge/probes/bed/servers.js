// Serves TLS as each line of the configuration says, on ports of its own choice, and prints them as one line of JSON.
const fs = require("fs"), net = require("net"), tls = require("tls");

const settings = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const read = (files) => files.map((file) => fs.readFileSync(file));

function smtp(socket, options) {
  let stage = 0;
  socket.on("error", () => {});
  socket.write("220 mail.example ESMTP\r\n");
  socket.on("data", (octets) => {
    if (++stage === 1) return socket.write("250-mail.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n");
    socket.removeAllListeners("data");
    socket.write("220 2.0.0 Ready\r\n");
    new tls.TLSSocket(socket, { isServer: true, secureContext: tls.createSecureContext(options) }).on("error", () => {});
  });
}

function serve([name, { keys, certificates, behind, ...options }]) {
  options = { ...options, key: read(keys), cert: read(certificates) };
  const server = behind === "smtp" ? net.createServer((socket) => smtp(socket, options))
    : tls.createServer(options, (socket) => { socket.on("error", () => {}); socket.end(); });
  server.on("tlsClientError", () => {});
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done([name, server.address().port])));
}

Promise.all(Object.entries(settings).map(serve)).then((ports) => console.log(JSON.stringify(Object.fromEntries(ports))));
