// Shared by all pages of one browser: hears the stream once, and tells each page what came. Its name is the stream's path.

const pages = new Set();
let last = null;
const source = new EventSource(self.name);

source.onmessage = (event) => tell(JSON.parse(event.data));
source.onerror = () => tell(null);

self.onconnect = ({ ports: [page] }) => {
  pages.add(page);
  if (last) page.postMessage(last);
  page.onmessage = () => pages.delete(page);
};

function tell(facts) {
  last = facts;
  for (const page of pages) page.postMessage(facts);
}
