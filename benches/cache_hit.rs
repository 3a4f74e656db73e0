//! What does a hit in the memory tier cost, from the request's head to the response's head and body?

use std::hint::black_box;

use asset_server::AssetServer;
use asset_server::config::ConfigFile;
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use http_body_util::BodyExt as _;

fn no_body() -> asset_server::RequestBody {
    asset_server::request_body(http_body_util::Empty::new())
}

fn cache_hit(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::write(directory.path().join("1k"), [7; 1024]).expect("a file can be written");
    let file: ConfigFile = serde_json::from_value(serde_json::json!({
        "mounts": [{"path": "/assets/", "origin": {"directory": {"path": directory.path()}}}],
    }))
    .expect("the configuration is good");
    let config = file
        .resolve(directory.path())
        .expect("the configuration is complete");
    let server = runtime
        .block_on(AssetServer::start(config, &prometheus::Registry::new()))
        .expect("it starts");
    let (parts, ()) = Request::get("/assets/1k")
        .body(())
        .expect("it is a request")
        .into_parts();
    runtime.block_on(async {
        let filled = server
            .respond(&parts, no_body)
            .await
            .into_body()
            .collect()
            .await;
        filled.expect("the object is there");
    });
    c.bench_function("cache_hit/1 KiB in memory", |b| {
        b.iter(|| runtime.block_on(server.respond(black_box(&parts), no_body)));
    });
}

criterion_group!(benches, cache_hit);
criterion_main!(benches);
