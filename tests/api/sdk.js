// The calls of @ory/client: node sdk.js BASE CARRIER VALUE ID, where CARRIER is token, bearer or cookie. Prints one JSON value.
const { createRequire } = require("node:module");
const { Configuration, FrontendApi } = createRequire(process.env.SESSIONWARD_TEST_NPM + "/")("@ory/client");

const [base, carrier, value, other] = process.argv.slice(2);
const api = new FrontendApi(new Configuration({ basePath: base }));
const who = { token: { xSessionToken: value }, cookie: { cookie: value }, bearer: {} }[carrier];
const options = carrier === "bearer" ? { headers: { Authorization: "Bearer " + value } } : {};

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return { status: error.response.status, id: error.response.data.error.id };
  }
  throw new Error("nothing was refused");
}

async function main() {
  const whoami = (await api.toSession(who, options)).data;
  const pages = [];
  let pageToken;
  do {
    const answer = await api.listMySessions({ ...who, pageSize: 2, ...(pageToken ? { pageToken } : {}) }, options);
    pages.push({ ids: answer.data.map((session) => session.id), total: answer.headers["x-total-count"] });
    const next = /page_token=([^>&]*)>; rel="next"/.exec(answer.headers["link"]);
    pageToken = next && next[1];
  } while (pageToken);
  const one = await api.disableMySession({ ...who, id: other }, options);
  const own = await refused(() => api.disableMySession({ ...who, id: whoami.id }, options));
  const others = (await api.disableMyOtherSessions(who, options)).data;
  const nobody = await refused(() => api.toSession({ xSessionToken: "nonsense" }));
  return { whoami, pages, one: one.status, own, others, nobody };
}

main().then((found) => console.log(JSON.stringify(found)));
