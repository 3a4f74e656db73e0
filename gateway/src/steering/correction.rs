//! A request has come to a region that is not its client's best. Whatever costs the client least is
//! done: answer here, carry it over the mesh, or send the client on. Pure arithmetic.
//!
//! # The arithmetic
//!
//! Costs are milliseconds until the last byte is there. With `here` and `better` the client's round trips
//! to this region and to the better one, `between` that of the mesh, and `rounds(S)` the round trips that
//! `S` bytes take:
//!
//! | way | cost |
//! | --- | --- |
//! | here | `here × rounds(S)` |
//! | carry | `here × rounds(S) + between` (the link is warm: one round trip, no handshake) |
//! | redirect | `here + 20 + 2 × better + better × rounds(S)` |
//!
//! A redirect costs its own answer (`here`), a name to look up (20 ms: a resolver near the client, which
//! may have to ask), a TCP handshake and one of TLS 1.3 (one `better` each), and then all bytes over the
//! short way. Over plain HTTP it costs one `better` less; the table does not bother.
//!
//! `rounds(S)` is slow start from ten segments (RFC 6928), doubling each round, up to a window of 1 MiB
//! (what buffers and a little loss allow on a long way); from there on every MiB costs one round trip. So
//! 10 KiB take one round, 1 MiB seven, 100 MiB a hundred: at 160 ms against 10 ms a redirect pays from
//! about 43 KiB on, with the 100 ms by which it must win.
//!
//! # What is never redirected
//!
//! Responses whose size is not known, and those that are small.
//! Requests with a body or an unsafe method (the body would be sent twice), upgrades (their clients do not
//! follow), and requests that name a region themselves: whoever asks `ams3.edge.example.com` has been sent
//! there. So a redirect leads from the one name to a region's, and never further: no loop is possible,
//! without a cookie or a mark in the query.

use crate::route::SteeringMode;

/// Ten segments of 1460 bytes.
const INITIAL_WINDOW: f32 = 14_600.0;
const LARGEST_WINDOW: f32 = (1 << 20) as f32;
const NAME_LOOKUP_MS: f32 = 20.0;
/// A redirect must win by this much: the arithmetic is not exact, a connection that is warm already does
/// better, and it shows in the address bar.
const MUST_WIN_BY_MS: f32 = 100.0;

/// Round trips in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ways {
    /// Client to this region.
    pub here_ms: f32,
    /// Client to the better one.
    pub better_ms: f32,
    /// This region to the better one.
    pub between_ms: f32,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What the route wants.
    pub mode: SteeringMode,
    /// Whether the method is GET or HEAD.
    pub is_read: bool,
    /// Whether a body comes with it.
    pub has_body: bool,
    /// Whether it asks for another protocol, as WebSocket does.
    pub is_upgrade: bool,
    /// Whether it names a region, which a redirect, `Alt-Svc` or its user has chosen.
    pub names_a_region: bool,
    /// Bytes of the response, where known.
    pub size: Option<u64>,
    /// Whether it can be answered here at all, without another region's help.
    pub can_answer_here: bool,
    /// Whether the better region has a name of its own for clients.
    pub can_redirect: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// Answer in this region.
    Here,
    /// Carry it over the mesh.
    Carry,
    /// Send the client on.
    Redirect,
}

impl Correction {
    /// The word for `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Carry => "carry",
            Self::Redirect => "redirect",
        }
    }
}

/// Decides for one request. `ways` are missing where the client's place is not known; then nobody is
/// sent on.
pub fn correct(asked: &Asked, ways: Option<Ways>) -> Correction {
    let stay = match asked.mode {
        SteeringMode::Here => return Correction::Here,
        SteeringMode::Auto if asked.can_answer_here => Correction::Here,
        _ => Correction::Carry,
    };
    let may_redirect = asked.can_redirect
        && asked.is_read
        && !asked.has_body
        && !asked.is_upgrade
        && !asked.names_a_region;
    match asked.mode {
        SteeringMode::Redirect if may_redirect => Correction::Redirect,
        SteeringMode::Auto if may_redirect => {
            // When a size is known, a carried answer has come over the mesh already: what is left is what
            // an answer from here would cost.
            let pays = ways.zip(asked.size).is_some_and(|(ways, size)| {
                let stay = cost_ms(Correction::Here, ways, size);
                cost_ms(Correction::Redirect, ways, size) + MUST_WIN_BY_MS < stay
            });
            if pays { Correction::Redirect } else { stay }
        }
        _ => stay,
    }
}

/// Milliseconds until the last of `size` bytes is with the client.
pub fn cost_ms(way: Correction, ways: Ways, size: u64) -> f32 {
    let rounds = rounds(size);
    match way {
        Correction::Here => ways.here_ms * rounds,
        Correction::Carry => ways.here_ms * rounds + ways.between_ms,
        Correction::Redirect => {
            ways.here_ms + NAME_LOOKUP_MS + 2.0 * ways.better_ms + ways.better_ms * rounds
        }
    }
}

/// Round trips that `size` bytes take on a new connection.
fn rounds(size: u64) -> f32 {
    let (size, mut window) = (size as f32, INITIAL_WINDOW);
    let (mut sent, mut rounds) = (window, 1.0);
    while sent < size && window < LARGEST_WINDOW {
        window = (window * 2.0).min(LARGEST_WINDOW);
        sent += window;
        rounds += 1.0;
    }
    rounds + ((size - sent) / LARGEST_WINDOW).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Asked, Correction, Ways, correct, cost_ms, rounds};
    use crate::route::SteeringMode;

    const GET: Asked = Asked {
        mode: SteeringMode::Auto,
        is_read: true,
        has_body: false,
        is_upgrade: false,
        names_a_region: false,
        size: None,
        can_answer_here: true,
        can_redirect: true,
    };
    const ACROSS_AN_OCEAN: Ways = Ways {
        here_ms: 160.0,
        better_ms: 10.0,
        between_ms: 155.0,
    };

    #[test]
    fn small_ones_stay_large_ones_are_sent_on_and_streams_stay() {
        use Correction::{Carry, Here, Redirect};
        let large = Asked {
            size: Some(50 << 20),
            ..GET
        };
        let near = Ways {
            here_ms: 12.0,
            better_ms: 10.0,
            between_ms: 8.0,
        };
        for (case, asked, ways, expected) in [
            (
                "10 KiB",
                Asked {
                    size: Some(10 << 10),
                    ..GET
                },
                ACROSS_AN_OCEAN,
                Here,
            ),
            ("unknown size", GET, ACROSS_AN_OCEAN, Here),
            (
                "unknown size, not here",
                Asked {
                    can_answer_here: false,
                    ..GET
                },
                ACROSS_AN_OCEAN,
                Carry,
            ),
            ("50 MiB", large, ACROSS_AN_OCEAN, Redirect),
            ("50 MiB, hardly better", large, near, Here),
            (
                "100 KiB, hardly better",
                Asked {
                    size: Some(100 << 10),
                    ..GET
                },
                near,
                Here,
            ),
            (
                "50 MiB, no name to send to",
                Asked {
                    can_redirect: false,
                    ..large
                },
                ACROSS_AN_OCEAN,
                Here,
            ),
            (
                "50 MiB, was sent here",
                Asked {
                    names_a_region: true,
                    ..large
                },
                ACROSS_AN_OCEAN,
                Here,
            ),
            (
                "an upload",
                Asked {
                    is_read: false,
                    has_body: true,
                    ..large
                },
                ACROSS_AN_OCEAN,
                Here,
            ),
            (
                "a stream",
                Asked {
                    is_upgrade: true,
                    ..large
                },
                ACROSS_AN_OCEAN,
                Here,
            ),
            (
                "mode here",
                Asked {
                    mode: SteeringMode::Here,
                    ..large
                },
                ACROSS_AN_OCEAN,
                Here,
            ),
            (
                "mode carry",
                Asked {
                    mode: SteeringMode::Carry,
                    ..large
                },
                ACROSS_AN_OCEAN,
                Carry,
            ),
            (
                "mode redirect",
                Asked {
                    mode: SteeringMode::Redirect,
                    ..GET
                },
                ACROSS_AN_OCEAN,
                Redirect,
            ),
            (
                "mode redirect, an upload",
                Asked {
                    mode: SteeringMode::Redirect,
                    has_body: true,
                    ..GET
                },
                ACROSS_AN_OCEAN,
                Carry,
            ),
        ] {
            assert_eq!(correct(&asked, Some(ways)), expected, "{case}");
        }
        assert_eq!(
            correct(&large, None),
            Here,
            "where the client is nobody knows"
        );
    }

    #[test]
    fn the_documented_numbers_hold() {
        for (size, expected) in [(10 << 10, 1.0), (1 << 20, 7.0), (100 << 20, 105.0)] {
            let rounds = rounds(size);
            assert!((rounds - expected).abs() < 1.0, "{size}: {rounds}");
        }
        let pays = |size| {
            correct(
                &Asked {
                    size: Some(size),
                    ..GET
                },
                Some(ACROSS_AN_OCEAN),
            ) == Correction::Redirect
        };
        assert!(!pays(14_000) && pays(45 << 10));
    }

    fn any_asked() -> impl Strategy<Value = Asked> {
        let mode = prop_oneof![
            Just(SteeringMode::Auto),
            Just(SteeringMode::Carry),
            Just(SteeringMode::Redirect),
            Just(SteeringMode::Here)
        ];
        (mode, any::<[bool; 6]>(), any::<Option<u64>>()).prop_map(|(mode, flags, size)| {
            let [
                is_read,
                has_body,
                is_upgrade,
                names_a_region,
                can_answer_here,
                can_redirect,
            ] = flags;
            Asked {
                mode,
                is_read,
                has_body,
                is_upgrade,
                names_a_region,
                size,
                can_answer_here,
                can_redirect,
            }
        })
    }

    proptest! {
        #[test]
        fn bodies_and_upgrades_are_never_sent_on_and_nobody_twice(
            asked in any_asked(),
            ways in proptest::option::of((0.0_f32..2000.0, 0.0_f32..2000.0, 0.0_f32..2000.0)),
        ) {
            let ways = ways.map(|(here_ms, better_ms, between_ms)| Ways { here_ms, better_ms, between_ms });
            let first = correct(&asked, ways);
            if first == Correction::Redirect {
                prop_assert!(asked.is_read && !asked.has_body && !asked.is_upgrade && asked.can_redirect);
                // The client follows, to a name of a region; whatever that one thinks, it is the end.
                let second = correct(&Asked { names_a_region: true, ..asked }, ways);
                prop_assert_ne!(second, Correction::Redirect);
            }
            if asked.mode == SteeringMode::Auto && asked.can_answer_here {
                prop_assert_ne!(first, Correction::Carry);
            }
        }

        #[test]
        fn more_bytes_never_take_less_time(size in 0_u64..1 << 40, more in 0_u64..1 << 30) {
            for way in [Correction::Here, Correction::Carry, Correction::Redirect] {
                let (less, more) = (cost_ms(way, ACROSS_AN_OCEAN, size), cost_ms(way, ACROSS_AN_OCEAN, size + more));
                prop_assert!(more >= less * 0.999, "{more} {less}");
            }
        }
    }
}
