use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};

use super::{Balance, Endpoint, RetryBudget, Timeouts, Upstream, client};

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
        balance: Balance::LeastLoaded,
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
    let claims: Vec<_> = (0..300).filter_map(|_| upstream.claim("/", &[])).collect();
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
            upstream.claim("/", &[]).unwrap().endpoint(),
            &upstream.endpoints[1]
        ));
    }
    let tried = [upstream.endpoints[1].clone()];
    assert!(Arc::ptr_eq(
        upstream.claim("/", &tried).unwrap().endpoint(),
        &upstream.endpoints[0]
    ));
    assert!(upstream.claim("/", &upstream.endpoints).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_key_returns_to_its_endpoint_when_one_request_has_found_it_well() {
    let mut upstream = upstream(3);
    upstream.balance = Balance::CacheKey;
    let at = |upstream: &Upstream| upstream.claim("/assets/a", &[]).unwrap().endpoint().clone();
    let own = at(&upstream);
    assert!((0..20).all(|_| Arc::ptr_eq(&at(&upstream), &own)));
    own.set_down(true);
    let stand_in = at(&upstream);
    assert!(!Arc::ptr_eq(&stand_in, &own));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(Arc::ptr_eq(&at(&upstream), &own), "one request tries");
    assert!(Arc::ptr_eq(&at(&upstream), &stand_in), "the others do not");
    own.set_down(false);
    assert!(Arc::ptr_eq(&at(&upstream), &own));
}

#[tokio::test]
async fn spellings_of_one_path_meet_and_a_popular_one_spills_over() {
    let mut upstream = upstream(3);
    upstream.balance = Balance::CacheKey;
    let own = upstream
        .claim("/assets/a%20b", &[])
        .unwrap()
        .endpoint()
        .clone();
    let other = upstream
        .claim("/assets/%61%20b", &[])
        .unwrap()
        .endpoint()
        .clone();
    assert!(Arc::ptr_eq(&own, &other));
    let claims: Vec<_> = (0..300)
        .filter_map(|_| upstream.claim("/assets/a%20b", &[]))
        .collect();
    assert_eq!(claims.len(), 300);
    for endpoint in &upstream.endpoints {
        assert!(
            (50..=126).contains(&endpoint.in_flight()),
            "{}",
            endpoint.in_flight()
        );
    }
}
