//! Who may ask for the decision behind an answer.

use http::header::HeaderName;

use crate::forward::Outgoing;
use crate::gateway::Edge;

/// Asks for the decision behind the answer, and carries it.
pub(super) const EDGE_EXPLAIN: HeaderName = HeaderName::from_static("x-edge-explain");
/// Shows that the asker may know.
const EDGE_EXPLAIN_TOKEN: HeaderName = HeaderName::from_static("x-edge-explain-token");

/// Whether this request may know the decision behind its answer. What it shows for it goes no further.
pub(super) fn may_explain(edge: &Edge, request: &mut Outgoing, hops: u8) -> bool {
    let headers = &mut request.parts.headers;
    if !headers.contains_key(EDGE_EXPLAIN) && !headers.contains_key(EDGE_EXPLAIN_TOKEN) {
        return false;
    }
    let asks = headers.remove(EDGE_EXPLAIN).is_some_and(|asks| asks == "1");
    let shown = headers.remove(EDGE_EXPLAIN_TOKEN);
    let knows = || {
        let shown = shown.as_ref().and_then(|shown| shown.to_str().ok());
        let token = edge.correction.explain_token.as_ref();
        token
            .zip(shown)
            .is_some_and(|(token, shown)| token.matches(shown))
    };
    // The region that the request came to first has decided.
    asks && hops == 0 && (edge.correction.explain_to_all || knows())
}
