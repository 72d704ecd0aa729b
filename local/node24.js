// Plain JavaScript on purpose: it must also run on the older Node it complains about.
const [major] = process.versions.node.split(".").map(Number);
if (major < 24) {
  process.stderr.write(
    `this project runs on Node 24, but "node" here is ${process.versions.node}: run "npm ci" without --ignore-scripts (it brings Node 24 into node_modules), or install Node 24\n`,
  );
  process.exit(1);
}
