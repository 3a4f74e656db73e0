//! What can change while we run: routes and upstreams, certificates, and whose word is taken.

use std::path::PathBuf;
use std::sync::Arc;

use serving::drain::Drain;
use serving::listener::{Certificates, MutualTls};
use serving::watch;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Edge, Settings};
use crate::config::{self, ActionConfig, Config, RouteConfig, UpstreamConfig};
use crate::mesh::{KeyFiles, Keys};
use crate::metrics::Metrics;
use crate::region::MAX_REGIONS;
use crate::route::{Action, Route, RouteTable};
use crate::upstream::{self, Balance, Endpoint, RetryBudget, Roots, Upstream, client, roots};

/// The reloadable part of a configuration, ready to use.
pub(super) fn settings(config: &Config, metrics: &Metrics, roots: &Roots) -> Settings {
    let upstreams: Vec<_> = config
        .upstreams
        .iter()
        .map(|file| Arc::new(upstream(file, Balance::LeastLoaded, roots, metrics)))
        .collect();
    let routes = config
        .routes
        .iter()
        .map(|file| Arc::new(route(file, config, &upstreams, metrics)))
        .collect();
    Settings {
        routes: RouteTable::new(routes),
        // A region that carries a request knows who the client is.
        trusted_proxies: config.trusted_proxies.and(&config.peers),
        peers: config.peers.clone(),
        tenants: config.tenants.clone(),
        upstreams,
    }
}

fn route(
    file: &RouteConfig,
    config: &Config,
    upstreams: &[Arc<Upstream>],
    metrics: &Metrics,
) -> Route {
    let (action, available) = match &file.action {
        ActionConfig::Assets => (Action::Assets, [true; MAX_REGIONS]),
        ActionConfig::Upstream {
            index,
            strip_prefix,
        } => {
            let strip_prefix = strip_prefix.as_deref().map(Into::into);
            let upstream = upstreams[*index].clone();
            (
                Action::Upstream {
                    upstream,
                    strip_prefix,
                },
                config.upstreams[*index].available,
            )
        }
        ActionConfig::Redirect(status, to) => (
            Action::Redirect {
                status: *status,
                to: to.as_str().into(),
            },
            [true; MAX_REGIONS],
        ),
        ActionConfig::Respond(status, content_type, body) => {
            let (content_type, body) = (content_type.clone(), body.clone());
            (
                Action::Respond {
                    status: *status,
                    content_type,
                    body,
                },
                [true; MAX_REGIONS],
            )
        }
    };
    Route {
        name: file.name.as_str().into(),
        matcher: file.matcher.clone(),
        steering: file.steering,
        expected_size: file.expected_size,
        action,
        available,
        residency: file.residency,
        preference: file.preference.clone(),
        metrics: metrics.route(&file.name),
    }
}

/// One upstream with connections of its own.
pub(super) fn upstream(
    file: &UpstreamConfig,
    balance: Balance,
    roots: &Roots,
    metrics: &Metrics,
) -> Upstream {
    let endpoint = |(scheme, authority): &(_, _)| {
        Arc::new(Endpoint::new(Clone::clone(scheme), Clone::clone(authority)))
    };
    Upstream {
        name: file.name.as_str().into(),
        endpoints: file.endpoints.iter().map(endpoint).collect(),
        balance,
        timeouts: file.timeouts,
        health_check: file.health_check.clone(),
        retry_budget: RetryBudget::new(),
        retries: metrics.retries.clone(),
        client: client(file.http2, file.timeouts.connect, roots),
    }
}

/// Starts the checks of all upstreams of the present settings; those of the past end by themselves.
pub(super) fn check_endpoints(edge: &Edge) {
    for upstream in &edge.settings.load().upstreams {
        tokio::spawn(upstream::run_health_checks(
            Arc::downgrade(upstream),
            edge.drain.clone(),
        ));
    }
}

/// Waits for a configuration to change. Made before the process serves, so that no change is missed and
/// an early SIGHUP does not end it.
#[derive(Debug)]
pub struct ConfigurationChanges {
    path: PathBuf,
    file: watch::Changes,
    hangup: Signal,
}

impl ConfigurationChanges {
    /// Watches `path`, and SIGHUP.
    pub fn watch(path: PathBuf) -> std::io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self {
            file: watch::files(vec![path.clone()]),
            path,
            hangup,
        })
    }
}

/// Takes over the configuration whenever it changes. A bad file keeps what is running.
pub async fn configuration(edge: Arc<Edge>, mut changes: ConfigurationChanges) {
    loop {
        tokio::select! {
            () = changes.file.next() => {}
            _ = changes.hangup.recv() => {}
            () = edge.drain.started() => return,
        }
        match take_over(&edge, &changes.path) {
            Ok(()) => {
                edge.metrics.reloads_applied.inc();
                tracing::info!(
                    "the configuration was reloaded: routes, upstreams and trusted networks are new"
                );
            }
            Err(error) => {
                edge.metrics.reloads_refused.inc();
                tracing::error!(%error, "the configuration was not reloaded; the one before goes on");
            }
        }
    }
}

fn take_over(edge: &Edge, path: &std::path::Path) -> anyhow::Result<()> {
    let config = config::load(path)?;
    let names = |regions: &crate::region::RegionSet| {
        regions
            .iter()
            .map(|(_, region)| region.name)
            .collect::<Vec<_>>()
    };
    if names(&config.regions) != names(&edge.regions) {
        anyhow::bail!("the list of regions has changed, which needs a restart");
    }
    let roots = roots(&config.certificate_authorities)
        .map_err(|(file, error)| anyhow::anyhow!("{file}: {error}"))?;
    let restart = edge.fixed.changed_in(&config.fixed);
    if !restart.is_empty() {
        tracing::warn!(
            keys = restart.join(", "),
            "these keys have changed, too, and need a restart"
        );
    }
    edge.settings
        .store(Arc::new(settings(&config, &edge.metrics, &roots)));
    check_endpoints(edge);
    Ok(())
}

/// Takes over certificates whenever their files change.
pub(super) async fn certificates(certificates: Arc<Certificates>, drain: Drain) {
    let mut changes = watch::files(certificates.files());
    loop {
        tokio::select! {
            () = changes.next() => {}
            () = drain.started() => return,
        }
        match certificates.reload() {
            Ok(()) => tracing::info!("certificates were reloaded"),
            Err(error) => {
                tracing::error!(%error, "certificates were not reloaded; those before go on");
            }
        }
    }
}

/// Takes over the mesh's key material whenever its files change. A bad file keeps what is in use.
pub(super) async fn mesh_keys(edge: Arc<Edge>, files: KeyFiles, acceptor: Arc<MutualTls>) {
    let mut changes = watch::files(files.all());
    loop {
        tokio::select! {
            () = changes.next() => {}
            () = edge.drain.started() => return,
        }
        match Keys::load(&files, edge.regions.own().name.as_str()) {
            Ok(keys) => {
                keys.put(&acceptor, &edge.mesh, &edge.regions);
                edge.metrics.mesh.keys(&keys);
                match keys.trouble {
                    None => tracing::info!("the mesh's certificate was reloaded"),
                    Some(reason) => {
                        tracing::error!(%reason, "other regions will not take this region's certificate");
                    }
                }
            }
            Err(error) => {
                edge.metrics.mesh.reloads_refused.inc();
                tracing::error!(%error, "the mesh's certificate was not reloaded; the one before goes on");
            }
        }
    }
}
