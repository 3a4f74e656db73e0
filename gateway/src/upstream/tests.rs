use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};

use super::{Endpoint, RetryBudget, Timeouts, Upstream, client};

fn upstream(endpoints: usize) -> Upstream {
    let timeouts = Timeouts {
        connect: Duration::from_secs(1),
        first_byte: Duration::from_secs(1),
        idle: Duration::from_secs(1),
    };
    let endpoint = |n| {
        Arc::new(Endpoint::new(
            Scheme::HTTP,
            Authority::try_from(format!("127.0.0.1:{n}")).unwrap(),
        ))
    };
    Upstream {
        name: "jobs".into(),
        endpoints: (1..=endpoints).map(endpoint).collect(),
        timeouts,
        health_check: None,
        retry_budget: RetryBudget::new(),
        retries: prometheus::IntCounter::new("retries", "Retries.").unwrap(),
        client: client(
            false,
            timeouts.connect,
            &Arc::new(rustls::RootCertStore::empty()),
        ),
    }
}

#[tokio::test]
async fn claims_spread_over_the_endpoints_and_come_back() {
    let upstream = upstream(3);
    let claims: Vec<_> = (0..300).filter_map(|_| upstream.claim(&[])).collect();
    for endpoint in &upstream.endpoints {
        assert!(
            (90..=110).contains(&endpoint.in_flight()),
            "{}",
            endpoint.in_flight()
        );
    }
    drop(claims);
    assert!(
        upstream
            .endpoints
            .iter()
            .all(|endpoint| endpoint.in_flight() == 0)
    );
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_the_last_resort() {
    let upstream = upstream(2);
    upstream.endpoints[0].set_down(true);
    for _ in 0..20 {
        assert!(Arc::ptr_eq(
            upstream.claim(&[]).unwrap().endpoint(),
            &upstream.endpoints[1]
        ));
    }
    let tried = [upstream.endpoints[1].clone()];
    assert!(Arc::ptr_eq(
        upstream.claim(&tried).unwrap().endpoint(),
        &upstream.endpoints[0]
    ));
    assert!(upstream.claim(&upstream.endpoints).is_none());
}
