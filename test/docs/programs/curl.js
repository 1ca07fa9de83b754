// Stands in for curl as far as the documentation uses it: -s, -X, -H, -d. Fails with 22 on a status of 400 or more, as curl --fail does.
const [headers, rest] = [{}, []];
let [method, body] = [undefined, undefined];
const args = process.argv.slice(2);
while (args.length > 0) {
  const arg = args.shift();
  if (arg === '-s') continue;
  else if (arg === '-X') method = args.shift();
  else if (arg === '-d') body = args.shift();
  else if (arg === '-H') {
    const [name, ...value] = args.shift().split(': ');
    headers[name] = value.join(': ');
  } else rest.push(arg);
}
if (rest.length !== 1) throw new Error(`curl: does not know ${rest.join(' ')}`);
fetch(rest[0], { method: method ?? (body === undefined ? 'GET' : 'POST'), headers, body }).then(async (response) => {
  process.stdout.write(`${await response.text()}\n`);
  if (response.status >= 400) process.exitCode = 22;
});
