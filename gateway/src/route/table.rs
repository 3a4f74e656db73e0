//! All routes, most specific first.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::Route;

/// The routes of one configuration.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
}

impl RouteTable {
    /// Sorts by specificity; routes that are equally specific keep their order in the configuration.
    pub fn new(mut routes: Vec<Arc<Route>>) -> Self {
        routes.sort_by_cached_key(|route| std::cmp::Reverse(route.matcher.specificity()));
        Self { routes }
    }

    /// The route for a request, if any. `host` is without port, `path` without query.
    pub fn find(
        &self,
        host: &str,
        path: &str,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<&Arc<Route>> {
        self.routes
            .iter()
            .find(|route| route.matcher.matches(host, path, method, headers))
    }

    /// All of them, in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }
}
