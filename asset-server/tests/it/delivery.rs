//! What a mount adds to caching: signed URLs, sites, cross-origin rules, downloads.

use std::time::{Duration, SystemTime};

use asset_server::config::{Config, Delivery, Origin};
use asset_server::respond::cors::{Policy, Terms};
use asset_server::signed_url::{Keys, Permit, Scope, SigningKey};
use asset_server::site::Site;
use asset_server::{AssetServer, ClientAddress};
use http::{Method, Request, StatusCode};
use prometheus::Registry;
use serving::secret::Secret;

use crate::support::{Store, ask_as, config, get, header, no_body, start};

fn key() -> SigningKey {
    SigningKey::new("2026a", &Secret::new("s".repeat(32))).expect("a key")
}

fn with(store: &Store, delivery: Delivery) -> Config {
    let mut config = config(store.config());
    config.mounts[0].delivery = delivery;
    config.signing = Some(Keys::new(vec![key()], Duration::ZERO));
    config
}

fn private() -> Delivery {
    Delivery {
        private: true,
        ..Delivery::default()
    }
}

fn site() -> Site {
    Site {
        index: "index.html".into(),
        not_found: Some("404.html".into()),
        single_page: None,
    }
}

fn seconds_from_now(seconds: i64) -> u64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    now.as_secs().saturating_add_signed(seconds)
}

fn signed(path: &str, expires_in: i64) -> String {
    let scope = Scope::path(path).expect("a path");
    let permit = Permit {
        scope,
        expires: seconds_from_now(expires_in),
        client: None,
    };
    format!("{path}?{}", key().sign(&permit))
}

#[tokio::test]
async fn a_private_asset_is_given_to_who_has_a_signature_and_cached_once_for_all() {
    let store = Store::start().await;
    store.put("a.bin", b"content");
    let registry = Registry::new();
    let server = AssetServer::start(with(&store, private()), &registry)
        .await
        .expect("a server");
    for expires_in in [60, 61, 62] {
        let (status, headers, body) = get(&server, &signed("/assets/a.bin", expires_in), &[]).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, &b"content"[..]));
        assert!(
            header(&headers, "cache-control").starts_with("private"),
            "{headers:?}"
        );
    }
    assert_eq!(store.gets("a.bin"), 1, "one cached copy");
    // The object is in memory now; each of these must be refused nevertheless.
    let good = signed("/assets/a.bin", 60);
    for (path, status, reason) in [
        ("/assets/a.bin".to_owned(), 401, "signature_missing"),
        ("/assets/a.bin?v=1".into(), 401, "signature_missing"),
        (signed("/assets/a.bin", -60), 403, "signature_expired"),
        (
            signed("/assets/b.bin", 60).replace("b.bin", "a.bin"),
            403,
            "signature_wrong",
        ),
        (
            good.replace("edge-key=2026a", "edge-key=2025"),
            403,
            "signature_unknown_key",
        ),
        (
            format!("{good}&edge-scope=prefix:/"),
            403,
            "signature_wrong",
        ),
        (format!("{good}&edge-key=2026a"), 403, "signature_malformed"),
        (good[..good.len() - 2].into(), 403, "signature_malformed"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let response = ask_as(&server, method, &path, &[("range", "bytes=0-0")]).await;
            assert_eq!(response.status(), status, "{path}");
            assert!(
                header(response.headers(), "cache-control").contains("no-store"),
                "{path}"
            );
            let challenge = response.headers().contains_key("www-authenticate");
            assert_eq!(challenge, status == 401, "{path}");
        }
        let (_, _, body) = get(&server, &path, &[]).await;
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(
            body.contains(&format!("\"reason\":\"{reason}\"")),
            "{path}: {body}"
        );
        assert!(!body.contains("content\""), "{body}");
    }
    assert_eq!(
        crate::support::metric(&registry, "asset_server_signatures_total"),
        27.0
    );
    let (status, headers, _) = get(&server, &good, &[("if-none-match", "*")]).await;
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    assert!(header(&headers, "cache-control").starts_with("private"));
}

#[tokio::test]
async fn a_signature_for_a_network_needs_a_client_from_there() {
    let store = Store::start().await;
    store.put("a.bin", b"content");
    let server = start(with(&store, private())).await;
    let permit = Permit {
        scope: Scope::prefix("/assets/").expect("a prefix"),
        expires: seconds_from_now(60),
        client: Some("203.0.113.0/24".parse().expect("a network")),
    };
    let uri = format!("/assets/a.bin?{}", key().sign(&permit));
    for (client, expected) in [
        (Some("203.0.113.9"), 200),
        (Some("198.51.100.1"), 403),
        (None, 403),
    ] {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().expect("a URI");
        if let Some(client) = client {
            let client = ClientAddress(client.parse().expect("an address"));
            request.extensions_mut().insert(client);
        }
        let response = server.respond(&request.into_parts().0, no_body).await;
        assert_eq!(response.status(), expected, "{client:?}");
    }
}

#[tokio::test]
async fn a_cookie_opens_a_tree() {
    let store = Store::start().await;
    store.put("app/main.js", b"js");
    store.put("other.js", b"js");
    let server = start(with(&store, private())).await;
    let permit = Permit {
        scope: Scope::prefix("/assets/app/").expect("a prefix"),
        expires: seconds_from_now(60),
        client: None,
    };
    let cookie = format!("theme=dark; edge-signature={}", key().sign(&permit));
    for (path, expected) in [("/assets/app/main.js", 200), ("/assets/other.js", 403)] {
        let (status, _, _) = get(&server, path, &[("cookie", &cookie)]).await;
        assert_eq!(status, expected, "{path}");
    }
}

#[tokio::test]
async fn a_site_has_indexes_redirects_and_a_page_for_404() {
    let store = Store::start().await;
    store.put("index.html", b"home");
    store.put("docs/index.html", b"docs");
    store.put("404.html", b"lost");
    let delivery = Delivery {
        site: Some(site()),
        ..Delivery::default()
    };
    let server = start(with(&store, delivery)).await;
    // Twice: from the store, then from what is remembered.
    for _ in 0..2 {
        for (path, status, body) in [
            ("/assets/", 200, "home"),
            ("/assets/docs/", 200, "docs"),
            ("/assets/docs/index.html", 200, "docs"),
            ("/assets/nowhere", 404, "lost"),
            ("/assets/nowhere/", 404, "lost"),
        ] {
            let (found, headers, given) = get(&server, path, &[]).await;
            assert_eq!(
                (found.as_u16(), &given[..]),
                (status, body.as_bytes()),
                "{path}"
            );
            assert_eq!(
                header(&headers, "content-type"),
                "text/html; charset=utf-8",
                "{path}"
            );
            if status == 404 {
                assert!(!headers.contains_key("etag"), "of another object");
                assert_eq!(
                    header(&headers, "cache-control"),
                    "max-age=60",
                    "negative_ttl"
                );
            }
        }
        // Conditions of a request are about the object that is not there, not about the page for that.
        let (status, _, body) = get(
            &server,
            "/assets/gone",
            &[("if-none-match", "*"), ("range", "bytes=0-0")],
        )
        .await;
        assert_eq!((status.as_u16(), &body[..]), (404, &b"lost"[..]));
    }
    assert_eq!(store.gets("nowhere"), 1, "what is not there is remembered");
    assert_eq!(store.gets("docs/index.html"), 1);
    let head = ask_as(&server, Method::HEAD, "/assets/docs/", &[]).await;
    assert_eq!(
        (head.status(), header(head.headers(), "content-length")),
        (StatusCode::OK, "4")
    );
    for path in ["/assets//", "/assets/../", "/assets/%2e%2e/"] {
        let (status, _, _) = get(&server, path, &[]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn a_directory_without_its_slash_is_redirected() {
    // A directory: the store of these tests fails for a key that is a directory on its disk.
    let root = tempfile::TempDir::new().expect("a directory");
    std::fs::create_dir(root.path().join("docs")).expect("a directory");
    std::fs::write(root.path().join("docs/index.html"), "docs").expect("a file");
    let mut config = config(Origin::Directory {
        path: root.path().to_owned(),
    });
    config.mounts[0].delivery.site = Some(site());
    let server = start(config).await;
    for _ in 0..2 {
        let (status, headers, body) = get(&server, "/assets/docs?v=1", &[]).await;
        assert_eq!(
            (status.as_u16(), header(&headers, "location")),
            (301, "./docs/?v=1")
        );
        assert!(body.is_empty());
    }
    let (status, headers, _) = get(&server, "/assets/doc", &[]).await;
    assert_eq!(
        (status.as_u16(), headers.contains_key("location")),
        (404, false)
    );
}

#[tokio::test]
async fn a_single_page_app_answers_navigations_and_only_those() {
    let store = Store::start().await;
    store.put("index.html", b"app");
    let site = Site {
        single_page: Some("index.html".into()),
        not_found: None,
        ..site()
    };
    let delivery = Delivery {
        site: Some(site),
        ..Delivery::default()
    };
    let server = start(with(&store, delivery)).await;
    for (path, accept, status) in [
        ("/assets/users/7", "text/html,*/*;q=0.8", 200),
        ("/assets/users/7", "application/json", 404),
        ("/assets/gone.js", "*/*", 404),
    ] {
        let (found, headers, body) = get(&server, path, &[("accept", accept)]).await;
        assert_eq!(found, status, "{path} {accept}");
        assert_eq!(&body[..] == b"app", status == 200, "{path} {accept}");
        assert_eq!(header(&headers, "vary"), "accept");
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_refusals_too() {
    let store = Store::start().await;
    store.put("a.json", b"{}");
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let policy = Policy::new(&Terms {
        allowed_origins: &owned(&["https://*.example.com"]),
        allowed_methods: &owned(&["GET"]),
        allowed_headers: &owned(&["range"]),
        exposed_headers: &owned(&["etag"]),
        max_age: Duration::from_secs(60),
        allow_credentials: false,
    });
    let delivery = Delivery {
        cors: Some(policy.expect("a policy")),
        ..private()
    };
    let server = start(with(&store, delivery)).await;
    let good = signed("/assets/a.json", 60);
    for (path, origin, status, allowed) in [
        (good.as_str(), "https://app.example.com", 200, true),
        ("/assets/a.json", "https://app.example.com", 401, true),
        (&good, "https://app.example.net", 200, false),
    ] {
        let (found, headers, _) = get(&server, path, &[("origin", origin)]).await;
        assert_eq!(found, status, "{path}");
        assert_eq!(
            header(&headers, "access-control-allow-origin"),
            if allowed { origin } else { "" }
        );
        assert_eq!(header(&headers, "vary"), "origin");
    }
    let preflight = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "range"),
    ];
    let response = ask_as(&server, Method::OPTIONS, "/assets/a.json", &preflight).await;
    assert_eq!(
        response.status(),
        StatusCode::NO_CONTENT,
        "without a signature"
    );
    assert_eq!(
        header(response.headers(), "access-control-allow-headers"),
        "range"
    );
}

#[tokio::test]
async fn a_download_is_named_after_its_object() {
    let store = Store::start().await;
    store.put("my model.onnx", b"weights");
    for (allowed, expected) in [
        (true, "attachment; filename=\"my model.onnx\""),
        (false, ""),
    ] {
        let server = start(with(
            &store,
            Delivery {
                download: allowed,
                ..Delivery::default()
            },
        ))
        .await;
        let (_, headers, _) = get(&server, "/assets/my%20model.onnx?download", &[]).await;
        assert_eq!(header(&headers, "content-disposition"), expected);
    }
}

#[tokio::test]
async fn the_command_signs_what_a_server_of_the_same_configuration_grants() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let secret = file("secret", &"s".repeat(32));
    let mount = "{path: /assets/, private: true, origin: {directory: {path: x}}}";
    let signing = "{keys: [{id: 2026a, secret: {file: secret}}]}";
    let config = file(
        "a.yaml",
        &format!("assets: {{mounts: [{mount}], signing: {signing}}}"),
    );
    let sign = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_asset-server"))
            .arg("sign")
            .args(arguments)
            .output()
            .expect("it runs");
        let text = |bytes| {
            String::from_utf8(bytes)
                .expect("text")
                .trim_end()
                .to_owned()
        };
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let store = Store::start().await;
    store.put("a b/c.bin", b"content");
    let server = start(with(&store, private())).await;
    let (config, secret) = (config.display().to_string(), secret.display().to_string());
    for source in [["--config", &config], ["--key-file", &secret]] {
        for scope in [
            &["--path", "/assets/a%20b/c.bin"][..],
            &["--prefix", "--path", "/assets/a%20b/"],
        ] {
            let mut arguments = vec!["--key", "2026a"];
            arguments.extend(source);
            arguments.extend(scope);
            let (code, url, error) = sign(&arguments);
            assert_eq!((code, error.as_str()), (Some(0), ""), "{arguments:?}");
            let (path, parameters) = url.split_once('?').expect("parameters");
            let path = path.strip_suffix("c.bin").unwrap_or(path);
            let (status, _, _) = get(&server, &format!("{path}c.bin?{parameters}"), &[]).await;
            assert_eq!(status, StatusCode::OK, "{url}");
        }
    }
    for (arguments, part) in [
        (
            &["--config", &config, "--key", "other", "--path", "/assets/a"][..],
            "signing.keys",
        ),
        (
            &[
                "--key-file",
                &secret,
                "--key",
                "a",
                "--path",
                "/assets/../a",
            ],
            "--path: the path has a dot segment",
        ),
        (
            &[
                "--key-file",
                &secret,
                "--key",
                "a",
                "--prefix",
                "--path",
                "/assets/a",
            ],
            "ends with a slash",
        ),
        (
            &["--key-file", "/nowhere", "--key", "a", "--path", "/a"],
            "/nowhere",
        ),
    ] {
        let (code, url, error) = sign(arguments);
        assert_eq!((code, url.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(
            error.contains(part) && error.lines().count() == 1,
            "{error}"
        );
    }
}
