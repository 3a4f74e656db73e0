//! The demo's world, as tests use it.

use std::ops::{Deref, DerefMut};

use gateway::demo::s3_store::ObjectRequests;
use gateway::demo::samples::Extent;
use gateway::demo::{Options, World};

use crate::{Answer, program};

/// Three regions around a store and a compute cluster. Ends when it is dropped.
pub struct TestWorld(World);

impl TestWorld {
    /// Starts a world without distance between its regions.
    pub async fn start() -> Self {
        Self::with(false, "0s").await
    }

    /// Starts a world whose regions get their users back over `slow_start` after they were down.
    pub async fn with_slow_start(slow_start: &str) -> Self {
        Self::with(false, slow_start).await
    }

    /// Starts a world whose regions are as far apart as the real ones.
    pub async fn with_distance() -> Self {
        Self::with(true, "0s").await
    }

    async fn with(distance: bool, slow_start: &str) -> Self {
        let options = Options {
            binary: program("gateway"),
            port: 0,
            extent: Extent::Small,
            distance,
            slow_start: slow_start.to_owned(),
        };
        match World::start(&options).await {
            Ok(world) => Self(world),
            Err(error) => panic!("the world did not start: {error}"),
        }
    }

    /// A client of the one URL in a country: `DE`, `US` or `ID`.
    pub fn client_in(&self, country: &str) -> Client {
        let ip = match country {
            "DE" => "91.64.0.1",
            "US" => "128.135.0.1",
            "ID" => "36.66.0.1",
            other => panic!("no client lives in {other}"),
        };
        self.client_at(ip)
    }

    /// A client of the one URL at an address.
    pub fn client_at(&self, ip: &str) -> Client {
        Client::new(&self.0.ready().global.http, ip)
    }

    /// How often a region asked the store for an object.
    pub fn store_gets(&self, region: &str, key: &str) -> u64 {
        self.store_requests(region, key).get
    }

    /// What a region asked of the store about an object.
    pub fn store_requests(&self, region: &str, key: &str) -> ObjectRequests {
        let requests = self.0.store.requests();
        let object = requests.get(region).and_then(|objects| objects.get(key));
        object.copied().unwrap_or_default()
    }
}

impl Deref for TestWorld {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl DerefMut for TestWorld {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.0
    }
}

/// A client that says where it is.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    ip: String,
    http: reqwest::Client,
}

impl Client {
    /// A client of `base` at an address. Each request uses a connection of its own, so that it may enter
    /// at any region.
    pub fn new(base: &str, ip: &str) -> Self {
        // Another client of this process may have done so before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let http = http.unwrap_or_else(|error| panic!("no client: {error}"));
        Self {
            base: base.to_owned(),
            ip: ip.to_owned(),
            http,
        }
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().unwrap_or(reqwest::Method::GET);
        self.http
            .request(method, format!("{}{path}", self.base))
            .header("x-forwarded-for", &self.ip)
    }

    /// The whole answer to a GET.
    pub async fn try_get(&self, path: &str) -> reqwest::Result<Answer> {
        Answer::read(self.request("GET", path).send().await?).await
    }

    /// The whole answer to a GET that must get one.
    pub async fn get(&self, path: &str) -> Answer {
        match self.try_get(path).await {
            Ok(answer) => answer,
            Err(error) => panic!("GET {path}: {error:?}"),
        }
    }

    /// The whole answer to a request that must get one.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        match request.send().await {
            Ok(response) => Answer::read(response)
                .await
                .unwrap_or_else(|error| panic!("{error:?}")),
            Err(error) => panic!("{error:?}"),
        }
    }
}
