//! Starts the whole demo, and ends it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::certificate::{self, Certificate};
use super::compute::{Compute, ComputeOptions};
use super::configuration::{self, Plan};
use super::distance::{DistanceRelay, round_trip_between};
use super::port::HeldPort;
use super::ready::{Dns, Ready, ReadyRegion, S3, Urls};
use super::region_process::RegionProcess;
use super::s3_store::S3Store;
use super::samples::{self, Extent, Sample};
use super::whoami::Whoami;

/// The demo's regions. Store and compute cluster stand in the first.
pub(super) const REGIONS: [&str; 3] = ["nyc3", "ams3", "sgp1"];

/// The name that the demo's DNS answers.
const DNS_NAME: &str = "edge.test";

/// The regions' addresses in its answers: all of them loopback, so that they lead somewhere.
const ADDRESSES: [IpAddr; 3] = [loopback(11), loopback(12), loopback(13)];

const fn loopback(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// What the store gives to one stream, in bytes a second; real ones give tens of megabytes.
const STREAM_RATE: NonZeroU64 = NonZeroU64::new(40_000_000).expect("it is not zero");

/// How a demo is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `gateway` program.
    pub binary: PathBuf,
    /// Port of the global address; the next ports are taken for the rest. 0 takes free ones.
    pub port: u16,
    /// How much is put into the bucket.
    pub extent: Extent,
    /// Whether regions are as far from each other as they really are, and the store as slow for one stream.
    pub distance: bool,
    /// Time over which a region that was down gets its users back, such as `20s`.
    pub slow_start: String,
}

/// A running demo. Everything ends when it is dropped.
pub struct World {
    /// The S3 store.
    pub store: Arc<S3Store>,
    /// The compute cluster.
    pub compute: Compute,
    /// The replicas that say who they are.
    pub whoami: Vec<Whoami>,
    /// The regions' gateways.
    pub regions: Vec<RegionProcess>,
    /// What is in the bucket.
    pub samples: Vec<Sample>,
    global: (SocketAddr, SocketAddr),
    dns: SocketAddr,
    certificate: Certificate,
    _ports: Vec<HeldPort>,
    _relays: Vec<DistanceRelay>,
    // Last: the files go when nothing uses them any more.
    directory: TempDir,
}

/// Why the demo could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken.
    #[error("port {port} is in use; choose another with --port, or take free ones with --port 0")]
    Port {
        /// The port.
        port: u16,
    },
    /// The bucket could not be filled.
    #[error("the sample objects could not be stored: {0}")]
    Samples(#[from] samples::SeedError),
    /// The certificate could not be made.
    #[error("the certificate could not be made: {0}")]
    Certificate(Box<dyn std::error::Error + Send + Sync>),
    /// Something that the system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl World {
    /// Starts everything, and returns when all regions are ready.
    pub async fn start(options: &Options) -> Result<Self, StartError> {
        let directory = tempfile::Builder::new().prefix("edge-demo-").tempdir()?;
        let at = |name: &str| directory.path().join(name);
        let mut ports = Ports {
            next: options.port,
            held: Vec::new(),
        };
        let global = (ports.take()?, ports.take()?);
        let own: Vec<(SocketAddr, SocketAddr)> = REGIONS
            .iter()
            .map(|_| Ok((ports.take()?, ports.take()?)))
            .collect::<Result<_, StartError>>()?;

        let dns = ports.take_for_datagrams()?;

        // Beside the documented ports, which count up from the first.
        let mesh: Vec<HeldPort> = REGIONS
            .iter()
            .map(|_| HeldPort::hold(0))
            .collect::<io::Result<_>>()?;

        std::fs::create_dir(at("store"))?;
        let stream_rate = options.distance.then_some(STREAM_RATE);
        let store = S3Store::start_with(&at("store"), 0, &REGIONS, stream_rate).await?;
        let store = Arc::new(store);
        let samples = samples::seed(&store, options.extent).await?;
        let compute = Compute::start(ComputeOptions::default()).await?;
        let mut whoami = Vec::new();
        for name in ["whoami-1", "whoami-2", "whoami-3"] {
            whoami.push(Whoami::start(name).await?);
        }
        let certificate = certificate::make(directory.path()).map_err(StartError::Certificate)?;
        certificate::make_for_mesh(directory.path(), &REGIONS).map_err(StartError::Certificate)?;
        std::fs::write(at("admin-token"), format!("{:032x}", fastrand::u128(..)))?;

        let mut relays = Vec::new();
        let mut regions = Vec::new();
        for (from, name) in REGIONS.iter().enumerate() {
            let mut seen = Vec::new();
            for (to, other) in REGIONS.iter().enumerate() {
                let address =
                    distant(mesh[to].addr(), name, other, options.distance, &mut relays).await?;
                seen.push(((*other).to_owned(), address));
            }
            let store_address = store.addr();
            let store_address = distant(
                store_address,
                name,
                REGIONS[0],
                options.distance,
                &mut relays,
            )
            .await?;
            let credentials = at(&format!("{name}.credentials"));
            let key = store
                .access_key_of(name)
                .ok_or_else(|| io::Error::other("the store has a key for each region"))?;
            std::fs::write(
                &credentials,
                format!(
                    "aws_access_key_id = {}\naws_secret_access_key = {}\n",
                    key.id(),
                    key.secret()
                ),
            )?;
            let config = at(&format!("{name}.yaml"));
            let plan = Plan {
                region: name,
                http: own[from].0,
                mesh: mesh[from].addr(),
                admin: own[from].1,
                global_http: global.0,
                global_https: global.1,
                dns,
                dns_name: DNS_NAME,
                addresses: &ADDRESSES,
                regions: &seen,
                tls: &certificate.served,
                s3_endpoint: format!("http://{store_address}"),
                bucket: store.bucket(),
                credentials,
                admin_token: at("admin-token"),
                cache: at(&format!("{name}-cache")),
                state: at(&format!("{name}-state")),
                compute_region: REGIONS[0],
                jobs: vec![compute.url()],
                whoami: whoami.iter().map(Whoami::url).collect(),
                slow_start: options.slow_start.clone(),
            };
            configuration::write(&plan, &config)?;
            let (http, admin) = own[from];
            let (binary, log) = (options.binary.clone(), at(&format!("{name}.log")));
            regions.push(RegionProcess {
                name: (*name).to_owned(),
                binary,
                config,
                log,
                http,
                admin,
                child: None,
                stdin: None,
            });
        }
        for region in &mut regions {
            region.start()?;
        }
        for region in &mut regions {
            region.ready().await?;
        }
        // Whoever started first has found nobody at the others' addresses, and has to look again.
        for region in &regions {
            region.sees_all().await?;
        }
        Ok(Self {
            store,
            compute,
            whoami,
            regions,
            samples,
            global,
            dns,
            certificate,
            _ports: ports.held.into_iter().chain(mesh).collect(),
            _relays: relays,
            directory,
        })
    }

    /// Every address of the demo.
    pub fn ready(&self) -> Ready {
        let region = |region: &RegionProcess| ReadyRegion {
            name: region.name.clone(),
            pid: region.pid().unwrap_or(0),
            http: format!("http://{}", region.http),
            admin: format!("http://{}", region.admin),
            config: region.config.display().to_string(),
        };
        Ready {
            global: Urls {
                http: format!("http://{}", self.global.0),
                https: format!("https://{}", self.global.1),
            },
            ca: self.certificate.authority.display().to_string(),
            regions: self.regions.iter().map(region).collect(),
            dns: Dns {
                address: self.dns.to_string(),
                name: DNS_NAME.to_owned(),
            },
            s3: S3 {
                endpoint: self.store.endpoint(),
                bucket: self.store.bucket().to_owned(),
                access_key: self.store.access_key().to_owned(),
                secret_key: self.store.secret_key().to_owned(),
            },
            compute: self.compute.url(),
            dashboard: format!("http://{}/", self.regions[0].admin),
            admin_token: self
                .directory
                .path()
                .join("admin-token")
                .display()
                .to_string(),
            samples: self.samples.iter().map(Sample::path).collect(),
        }
    }

    /// The region of a name.
    pub fn region(&mut self, name: &str) -> Option<&mut RegionProcess> {
        self.regions.iter_mut().find(|region| region.name == name)
    }

    /// The directory of everything the demo writes.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends every process, and waits for it.
    pub async fn stop(mut self) -> io::Result<()> {
        for region in &mut self.regions {
            region.kill().await?;
        }
        self.directory.close()
    }
}

/// Hands out ports: consecutive ones from a start, or free ones.
struct Ports {
    next: u16,
    held: Vec<HeldPort>,
}

impl Ports {
    /// A port that is free for datagrams, too.
    fn take_for_datagrams(&mut self) -> Result<SocketAddr, StartError> {
        loop {
            let address = self.take()?;
            match std::net::UdpSocket::bind(address) {
                Ok(_) => return Ok(address),
                Err(_) if self.next == 0 => {}
                Err(_) => {
                    return Err(StartError::Port {
                        port: address.port(),
                    });
                }
            }
        }
    }

    fn take(&mut self) -> Result<SocketAddr, StartError> {
        let port = self.next;
        if port != 0 {
            self.next = port.saturating_add(1);
        }
        let held = HeldPort::hold(port).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => StartError::Port { port },
            _ => error.into(),
        })?;
        let addr = held.addr();
        self.held.push(held);
        Ok(addr)
    }
}

/// `target` as it is reached from a region, through a relay as long as the way.
async fn distant(
    target: SocketAddr,
    from: &str,
    to: &str,
    distance: bool,
    relays: &mut Vec<DistanceRelay>,
) -> io::Result<SocketAddr> {
    match round_trip_between(from, to).filter(|round_trip| distance && !round_trip.is_zero()) {
        None => Ok(target),
        Some(round_trip) => {
            let relay = DistanceRelay::start(target, round_trip).await?;
            let addr = relay.addr();
            relays.push(relay);
            Ok(addr)
        }
    }
}
