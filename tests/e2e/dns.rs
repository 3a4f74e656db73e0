//! Authoritative DNS, asked by the programs that people use: `dig`, `kdig`, and a resolver in between.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Gateway, TestWorld, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::process::{Child, Command};

const NYC: &str = "127.0.0.11";
const AMS: &str = "127.0.0.12";
const SGP: &str = "127.0.0.13";

/// A program's standard output; the test fails where it does.
async fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await;
    let output = output.expect(program);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

async fn dig(server: SocketAddr, arguments: &str) -> String {
    let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
    let mut all = vec![at.as_str(), "-p", &port, "+tries=1", "+timeout=5"];
    all.extend(arguments.split_whitespace());
    run("dig", &all).await.trim().to_owned()
}

fn server(world: &TestWorld) -> SocketAddr {
    world
        .ready()
        .dns
        .address
        .parse()
        .expect("the demo says where it serves DNS")
}

#[tokio::test]
async fn three_continents_are_led_to_three_regions_which_answer_there() {
    let world = TestWorld::start().await;
    let server = server(&world);
    let global: SocketAddr = world
        .ready()
        .global
        .http
        .replace("http://", "")
        .parse()
        .expect("an address");
    for (client, region, address) in [
        ("128.135.0.1", "nyc3", NYC),
        ("91.64.0.1", "ams3", AMS),
        ("36.66.0.1", "sgp1", SGP),
    ] {
        let answer = dig(server, &format!("edge.test +short +subnet={client}/24")).await;
        assert_eq!(answer, address, "{client}");
        let https = dig(
            server,
            &format!("edge.test HTTPS +short +subnet={client}/24"),
        )
        .await;
        assert_eq!(
            https,
            format!("1 . alpn=\"h2,http/1.1\" ipv4hint={address}")
        );
        // The address that was answered is that region.
        let url = format!(
            "http://{}",
            SocketAddr::new(address.parse().expect("an address"), global.port())
        );
        let asset = tests::Client::new(&url, client)
            .get(&world.samples[0].path())
            .await;
        assert_eq!(asset.served_by(), region);
    }
    // The scope is wider than the network that was given, and true: its other end gets the same answer.
    let whole = dig(server, "edge.test +subnet=91.64.0.0/24").await;
    let scope = whole
        .lines()
        .find_map(|line| line.strip_prefix("; CLIENT-SUBNET: 91.64.0.0/24/"));
    let scope: u8 = scope
        .and_then(|scope| scope.trim().parse().ok())
        .unwrap_or_else(|| panic!("{whole}"));
    assert!((1..24).contains(&scope), "{whole}");
    let end = u32::from_be_bytes([91, 64, 0, 0]) | (u32::MAX >> scope);
    let end = std::net::Ipv4Addr::from(end);
    assert_eq!(
        dig(server, &format!("edge.test +short +subnet={end}/32")).await,
        AMS
    );
}

#[tokio::test]
async fn dig_and_kdig_understand_every_answer() {
    let world = TestWorld::start().await;
    let server = server(&world);
    let whole = dig(server, "eDgE.tEsT A +norecurse").await;
    for part in [
        "status: NOERROR",
        "flags: qr aa;",
        "eDgE.tEsT.\t\t5\tIN\tA\t127.0.0.1",
        "udp: 1232",
        "(good)",
    ] {
        assert!(whole.contains(part), "{part:?} is not in {whole}");
    }
    for (arguments, parts) in [
        (
            "edge.test SOA",
            &["edge.test.\t\t3600\tIN\tSOA\tns1.edge.test. hostmaster.edge.test."][..],
        ),
        (
            "edge.test NS",
            &[
                "ns1.edge.test.",
                "ns2.edge.test.",
                "ns3.edge.test.",
                "ns1.edge.test.\t\t3600\tIN\tA",
            ],
        ),
        (
            "www.edge.test A",
            &["CNAME\tedge.test.", "edge.test.\t\t5\tIN\tA"],
        ),
        (
            "none.edge.test A",
            &["status: NXDOMAIN", "AUTHORITY: 1", "SOA"],
        ),
        (
            "edge.test MX",
            &["status: NOERROR", "ANSWER: 0", "AUTHORITY: 1"],
        ),
        ("edge.test ANY +notcp", &["HINFO\t\"RFC8482\" \"\""]),
        ("edge.test A +tcp", &["status: NOERROR", "(TCP)"]),
        ("edge.test A +noedns", &["status: NOERROR", "ADDITIONAL: 0"]),
        (
            "edge.test A +edns=1 +noednsnegotiation",
            &["status: BADVERS"],
        ),
        ("edge.test A +opcode=notify", &["status: NOTIMP"]),
        ("example.com A", &["status: REFUSED"]),
        ("version.bind TXT CH", &["status: REFUSED"]),
        (
            "edge.test A +subnet=0.0.0.0/0",
            &["CLIENT-SUBNET: 0.0.0.0/0/0"],
        ),
    ] {
        let answer = dig(server, arguments).await;
        for part in parts {
            assert!(
                answer.contains(part),
                "{arguments}: {part:?} is not in {answer}"
            );
        }
    }
    let transfer = dig(server, "edge.test AXFR").await;
    assert!(transfer.contains("Transfer failed"), "{transfer}");

    let (ip, port) = (format!("@{}", server.ip()), server.port().to_string());
    for arguments in [
        &["+subnet=36.66.0.0/24"][..],
        &["+subnet=36.66.0.0/24", "+tcp"],
        &["+subnet=36.66.0.0/24", "+cookie"],
    ] {
        let all = [&[ip.as_str(), "-p", &port, "edge.test", "A"], arguments].concat();
        let answer = run("kdig", &all).await;
        for part in ["status: NOERROR", SGP, "CLIENT-SUBNET: 36.66.0.0/24/"] {
            assert!(
                answer.contains(part),
                "{arguments:?}: {part:?} is not in {answer}"
            );
        }
    }
}

#[tokio::test]
async fn a_killed_region_is_out_of_the_answers_within_three_seconds() {
    let mut world = TestWorld::start().await;
    let server = server(&world);
    let ask = async || dig(server, "edge.test +short +subnet=36.66.0.1/24").await;
    assert_eq!(ask().await, SGP);
    let serial = dig(server, "edge.test SOA +short").await;
    world
        .region("sgp1")
        .expect("the demo has it")
        .kill()
        .await
        .expect("it can be killed");
    let died = Instant::now();
    // Its socket is gone with it, so each query reaches one that lives.
    while ask().await == SGP {
        assert!(died.elapsed() < Duration::from_secs(3), "still answered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!([NYC, AMS].contains(&ask().await.as_str()));
    eventually("all gateways know", async || {
        for _ in 0..8 {
            if ask().await == SGP {
                return false;
            }
        }
        true
    })
    .await;
    assert!(
        died.elapsed() < Duration::from_secs(3),
        "it took {:?}",
        died.elapsed()
    );
    eventually("the serial number has grown", async || {
        dig(server, "edge.test SOA +short").await != serial
    })
    .await;

    let region = world.region("sgp1").expect("the demo has it");
    region.start().expect("it can be started");
    region.ready().await.expect("it comes up");
    eventually("it is answered again", async || ask().await == SGP).await;
}

#[tokio::test]
async fn an_order_to_drain_takes_a_region_out_of_the_answers_and_undraining_brings_it_back() {
    let world = TestWorld::start().await;
    let server = server(&world);
    let ask = async || dig(server, "edge.test +short +subnet=36.66.0.1/24").await;
    let order = async |arguments: &[&str]| {
        let token = world.directory().join("admin-token");
        let token = token.to_str().expect("text").to_owned();
        let admin = world.ready().regions[0].admin.clone();
        let all = [arguments, &["--admin", &admin, "--token-file", &token]].concat();
        let (status, _, errors) = Gateway::command(world.directory(), "gateway", &all).await;
        assert!(status.success(), "{arguments:?}: {errors}");
    };
    // Any of the gateways may be asked, so all of them must know.
    let always = async |leads_there: bool| {
        for _ in 0..8 {
            if (ask().await == SGP) != leads_there {
                return false;
            }
        }
        true
    };
    assert_eq!(ask().await, SGP);
    order(&["drain", "sgp1", "--reason", "new disks"]).await;
    eventually("nobody is led there", async || always(false).await).await;
    order(&["undrain", "sgp1"]).await;
    eventually("users are led there again", async || always(true).await).await;
}

/// A resolver from Debian, which ends with the test.
struct Unbound {
    address: SocketAddr,
    _child: Child,
    _directory: tempfile::TempDir,
}

impl Unbound {
    async fn before(server: SocketAddr) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let free = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.expect("a port is free");
        let configuration = format!(
            r#"
server:
    interface: {ip}@{port}
    module-config: "subnetcache iterator"
    send-client-subnet: 127.0.0.1
    client-subnet-always-forward: yes
    max-client-subnet-ipv4: 24
    do-not-query-localhost: no
    use-caps-for-id: yes
    access-control: 127.0.0.0/8 allow
    local-zone: "test." nodefault
    username: ""
    chroot: ""
    directory: "{directory}"
    pidfile: ""
    do-daemonize: no
    use-syslog: no
    num-threads: 1
remote-control:
    control-enable: no
stub-zone:
    name: "edge.test"
    stub-addr: {server_ip}@{server_port}
"#,
            ip = address.ip(),
            port = address.port(),
            directory = directory.path().display(),
            server_ip = server.ip(),
            server_port = server.port(),
        );
        let path = directory.path().join("unbound.conf");
        std::fs::write(&path, configuration).expect("files can be written");
        let child = Command::new(program_of("unbound"))
            .args(["-d", "-p", "-c"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let resolver = Self {
            address,
            _child: child.expect("unbound is installed"),
            _directory: directory,
        };
        eventually("the resolver listens", async || {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        resolver
    }
}

/// Debian puts daemons where not every user looks.
fn program_of(name: &str) -> String {
    let usual = format!("/usr/sbin/{name}");
    if Path::new(&usual).exists() {
        usual
    } else {
        name.into()
    }
}

#[tokio::test]
async fn a_resolver_passes_the_clients_network_on_and_keeps_an_answer_for_each() {
    let world = TestWorld::start().await;
    let resolver = Unbound::before(server(&world)).await;
    for round in 0..2 {
        for (client, address) in [("128.135.0.1", NYC), ("91.64.0.1", AMS), ("36.66.0.1", SGP)] {
            let answer = dig(
                resolver.address,
                &format!("edge.test +short +subnet={client}/24"),
            )
            .await;
            assert_eq!(answer, address, "{client}, round {round}");
        }
    }
    assert_eq!(
        dig(resolver.address, "www.edge.test CNAME +short").await,
        "edge.test."
    );
    let none = dig(resolver.address, "none.edge.test").await;
    assert!(none.contains("status: NXDOMAIN"), "{none}");
}

/// One gateway with a zone of these records.
fn configuration(dns: &Value) -> Value {
    let mut configuration = Gateway::configuration();
    configuration["regions"] = json!([{"name": "ams3", "addresses": ["192.0.2.1"]}]);
    let mut all = json!({
        "listen": ["127.0.0.1:0"],
        "zones": [{
            "name": "edge.test",
            "name_servers": [{"name": "ns1", "region": "ams3"}],
            "steered": [{"name": "@"}],
            "records": [
                {"name": "long", "type": "TXT", "values": (0..8).map(|n| format!("{}{n}", "x".repeat(200))).collect::<Vec<_>>()},
            ],
        }],
    });
    for (key, value) in dns.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    configuration["dns"] = all;
    configuration
}

#[tokio::test]
async fn what_is_too_long_for_a_datagram_comes_over_tcp() {
    let gateway = Gateway::start(&configuration(&json!({})), |_| {}).await;
    let server = gateway.address("dns");
    let cut = dig(server, "long.edge.test TXT +ignore").await;
    assert!(cut.contains("flags: qr aa tc"), "{cut}");
    let whole = dig(server, "long.edge.test TXT").await;
    assert!(whole.contains("Truncated, retrying in TCP mode"), "{whole}");
    assert!(whole.contains("ANSWER: 8"), "{whole}");
    assert!(
        gateway
            .metric("gateway_dns_queries_total{transport=\"tcp\",type=\"txt\"}")
            .await
            >= 1.0
    );
    assert!(
        gateway
            .metric("gateway_dns_responses_total{code=\"noerror\"}")
            .await
            >= 3.0
    );
}

/// A query for `edge.test A` with an identifier.
fn query(id: u8) -> Vec<u8> {
    [
        &[0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
        b"\x04edge\x04test\x00\x00\x01\x00\x01",
    ]
    .concat()
}

#[tokio::test]
async fn queries_follow_each_other_on_a_connection_and_an_idle_one_is_closed() {
    let dns = json!({"tcp": {"connections": 2, "idle": "300ms"}});
    let gateway = Gateway::start(&configuration(&dns), |_| {}).await;
    let server = gateway.address("dns");
    let mut stream = TcpStream::connect(server).await.expect("it listens");
    let framed = |id| [&[0, query(id).len() as u8][..], &query(id)].concat();
    let all = [framed(1), framed(2), framed(3)].concat();
    // In pieces that do not end where messages do.
    for piece in all.chunks(10) {
        stream.write_all(piece).await.expect("it reads");
        stream.flush().await.expect("it reads");
    }
    for id in 1..=3 {
        let length = stream.read_u16().await.expect("it answers");
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.expect("it answers");
        assert_eq!(answer[1], id);
        assert_eq!(answer[answer.len() - 4..], [192, 0, 2, 1]);
    }
    assert_eq!(
        stream.read(&mut [0; 10]).await.unwrap_or(0),
        0,
        "closed when idle"
    );
    // Junk, a message longer than any query, and half a message: each is only closed.
    for junk in [
        &[0, 12, 1, 2, 0x80, 4, 5, 6, 7, 8, 9, 10, 11, 12][..],
        &[0xff; 8192],
        &[0, 50, 1],
    ] {
        let mut stream = TcpStream::connect(server).await.expect("it listens");
        let _ = stream.write_all(junk).await;
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap_or(0), 0);
    }
    // Two connections are all that it takes.
    let held = [
        TcpStream::connect(server).await,
        TcpStream::connect(server).await,
    ];
    let mut third = TcpStream::connect(server)
        .await
        .expect("the kernel accepts it");
    assert_eq!(third.read(&mut [0; 10]).await.unwrap_or(0), 0);
    drop(held);
    assert!(dig(server, "edge.test +short").await.contains("192.0.2.1"));
}

#[tokio::test]
async fn a_flood_is_limited_and_a_client_with_a_cookie_or_tcp_gets_through() {
    let dns =
        json!({"rate_limit": {"responses_per_second": 20, "errors_per_second": 20, "slip": 2}});
    let gateway = Gateway::start(&configuration(&dns), |_| {}).await;
    let server = gateway.address("dns");
    let flood = UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    flood.connect(server).await.expect("it is an address");
    for id in 0..200 {
        flood.send(&query(id)).await.expect("loopback takes it");
    }
    let (mut whole, mut cut, mut answer) = (0, 0, [0; 512]);
    while let Ok(Ok(length)) =
        tokio::time::timeout(Duration::from_millis(500), flood.recv(&mut answer)).await
    {
        let is_cut = answer[2] & 2 != 0;
        assert_eq!(is_cut, length == query(0).len());
        *(if is_cut { &mut cut } else { &mut whole }) += 1;
    }
    assert!((20..=60).contains(&whole), "{whole} of 200 answered");
    assert!((60..=100).contains(&cut), "{cut} of 200 truncated");
    for _ in 0..200 {
        flood.send(&query(0)).await.expect("loopback takes it");
    }
    assert_eq!(dig(server, "edge.test +short +tcp").await, "192.0.2.1");
    // Truncated, it asks again over TCP; that is what dig does, too.
    assert!(
        dig(server, "edge.test +short +retry=3")
            .await
            .contains("192.0.2.1")
    );
    assert!(
        gateway
            .metric("gateway_dns_rate_limited_total{action=\"dropped\"}")
            .await
            >= 60.0
    );
}

#[tokio::test]
async fn junk_over_udp_changes_nothing() {
    let gateway = Gateway::start(&configuration(&json!({})), |_| {}).await;
    let server = gateway.address("dns");
    let socket = UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    for length in [0, 1, 11, 12, 13, 100, 512, 2048, 2049, 9000, 60_000] {
        for byte in [0, 1, 0x0c, 0x3f, 0xc0, 0xff] {
            let _ = socket.send_to(&vec![byte; length], server).await;
        }
    }
    // Names that point at themselves, at each other, and past the end.
    for name in [
        &[0xc0, 12][..],
        &[1, b'a', 0xc0, 12],
        &[0xc0, 14, 0xc0, 12],
        &[0xff, 0xff],
        &[63, b'a'],
    ] {
        let head = [7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let _ = socket
            .send_to(&[&head[..], name, &[0, 1, 0, 1]].concat(), server)
            .await;
    }
    assert_eq!(dig(server, "edge.test +short").await, "192.0.2.1");
}

#[tokio::test]
async fn configurations_that_no_resolver_could_use_are_refused() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 12] = [
        (
            |c| c["regions"] = json!([{"name": "ams3", "addresses": ["192.0.2.1"]}, {"name": "nyc3", "address": "http://a", "addresses": ["192.0.2.1"]}]),
            "regions[1].addresses[0]: 192.0.2.1 is also an address of ams3",
        ),
        (
            |c| c["regions"] = json!([{"name": "ams3", "addresses": ["192.0.2.1"]}, {"name": "nyc3", "address": "http://a", "addresses": ["192.0.2.2", "2001:db8::1"]}]),
            "regions[0].addresses: it has no IPv6 address, but nyc3 has",
        ),
        (
            |c| c["regions"] = json!([{"name": "ams3"}]),
            "no region has addresses that could be answered",
        ),
        (
            |c| c["dns"]["zones"][0]["name_servers"] = json!([]),
            "dns.zones[0].name_servers: a zone needs a name server",
        ),
        (
            |c| c["dns"]["zones"][0]["name_servers"] = json!([{"name": "ns1", "region": "sfo3"}]),
            "dns.zones[0].name_servers[0].region: \"sfo3\" is not among the regions",
        ),
        (
            |c| {
                c["regions"] = json!([{"name": "ams3"}]);
                c["dns"]["zones"][0]["steered"] = json!([]);
            },
            "needs an address",
        ),
        (
            |c| c["dns"]["zones"][0]["records"] = json!([{"name": "a", "type": "CNAME", "values": ["b"]}, {"name": "a", "type": "TXT", "values": ["x"]}]),
            "nothing else can stand there",
        ),
        (
            |c| {
                c["dns"]["zones"][0]["records"] =
                    json!([{"name": "a.example.", "type": "TXT", "values": ["x"]}]);
            },
            "is not in zone",
        ),
        (
            |c| {
                c["dns"]["zones"][0]["records"] =
                    json!([{"name": "a", "type": "A", "values": ["192.0.2"]}]);
            },
            "dns.zones[0].records[0].values[0]",
        ),
        (
            |c| c["dns"]["zones"][0]["steered"] = json!([{"name": "@", "answers": 0}]),
            "dns.zones[0].steered[0].answers",
        ),
        (
            |c| c["dns"]["zones"][0]["ttl"] = json!("1500ms"),
            "dns.zones[0].ttl: must be whole seconds",
        ),
        (
            |c| c["dns"]["zones"][0]["name"] = json!("a..b"),
            "dns.zones[0].name",
        ),
    ];
    for (change, reason) in cases {
        let mut configuration = configuration(&json!({}));
        change(&mut configuration);
        let directory = Gateway::directory(&configuration, |_| {});
        let (status, _, error) = Gateway::command(
            directory.path(),
            "gateway",
            &["check", "--config", "gateway.yaml"],
        )
        .await;
        assert_eq!(status.code(), Some(2), "{reason}");
        assert!(error.contains(reason), "{reason:?} is not in {error:?}");
    }
}
