//! Who asks: clients in prefixes, prefixes in places, and the DNS answers that they hold on to.

use std::net::{IpAddr, Ipv4Addr};

use benches::Sequence;
use gateway::steering::spread;
use geo_db::{CostTable, Location, Point, Ranking, Source};

use crate::world::REGIONS;

/// Seconds for which a DNS answer is kept.
pub(crate) const TTL: usize = 30;

/// Addresses in a DNS answer.
pub(crate) const ADDRESSES: usize = 3;

/// Activity at night, as a part of that in the afternoon.
const NIGHT: f32 = 0.15;

/// A /24: its clients share a place, a DNS resolver's subnet and a spread.
#[derive(Debug)]
pub(crate) struct Prefix {
    /// Its position in the list of spreads.
    pub(crate) spread: f32,
    /// East of Greenwich, in turns: the phase of its day.
    pub(crate) turn: f32,
    /// Regions by expected round trip.
    pub(crate) ranking: Ranking,
    /// How many of its clients would enter at each region.
    pub(crate) entering: [u32; REGIONS],
}

/// One client: its prefix and the addresses that it knows.
#[derive(Clone, Copy, Debug)]
struct Client {
    prefix: u32,
    answer: [u8; ADDRESSES],
}

/// All clients. Client `i` asks DNS again whenever `i % TTL` comes round.
#[derive(Debug)]
pub(crate) struct Clients {
    /// The prefixes.
    pub(crate) prefixes: Vec<Prefix>,
    clients: Vec<Client>,
}

const NOWHERE: u8 = u8::MAX;

impl Clients {
    /// `count` clients in some `count / 25` prefixes. Places are those of Natural Earth, most prominent
    /// first; the share of users falls with the place in that list, as city sizes do (Zipf).
    pub(crate) fn new(count: usize, costs: &CostTable) -> Self {
        let places: Vec<Point> = include_str!("../../geo-db/data/places.csv")
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(',').skip(1);
                let mut degrees = || fields.next()?.parse().ok();
                Point::new(degrees()?, degrees()?)
            })
            .collect();
        let mut total = 0.0;
        let weights: Vec<f64> = (0..places.len())
            .map(|rank| {
                total += 1.0 / (rank as f64 + 30.0);
                total
            })
            .collect();
        let mut random = Sequence::new();
        let mut place = || {
            let drawn = f64::from(random.next()) / f64::from(u32::MAX) * total;
            places[weights
                .partition_point(|weight| *weight < drawn)
                .min(places.len() - 1)]
        };
        let prefixes: Vec<Prefix> = (0..count.div_ceil(25))
            .map(|number| {
                let point = place();
                let number = u32::try_from(number).unwrap_or(0);
                let address = IpAddr::from(Ipv4Addr::from((0x0b00_0000 + number) << 8));
                let location = Location {
                    point: Some(point),
                    ..Location::nowhere(Source::Database)
                };
                Prefix {
                    spread: spread(address),
                    turn: point.lon / 360.0,
                    ranking: costs.nearest(&location),
                    entering: [0; REGIONS],
                }
            })
            .collect();
        let mut random = Sequence::new();
        let clients = (0..count).map(|_| Client {
            prefix: random.next() % u32::try_from(prefixes.len()).unwrap_or(1),
            answer: [NOWHERE; ADDRESSES],
        });
        Self {
            clients: clients.collect(),
            prefixes,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// A second of DNS: those whose answer is over ask again. `answer` gives the regions for a prefix.
    pub(crate) fn ask(
        &mut self,
        second: usize,
        alive: &[bool; REGIONS],
        mut answer: impl FnMut(usize, &Prefix) -> [u8; ADDRESSES],
    ) {
        for at in (second % TTL..self.clients.len()).step_by(TTL) {
            self.renew(at, alive, &mut answer);
        }
    }

    /// Everybody asks, as before the first second.
    pub(crate) fn ask_all(
        &mut self,
        alive: &[bool; REGIONS],
        mut answer: impl FnMut(usize, &Prefix) -> [u8; ADDRESSES],
    ) {
        for at in 0..self.clients.len() {
            self.renew(at, alive, &mut answer);
        }
    }

    fn renew(
        &mut self,
        at: usize,
        alive: &[bool; REGIONS],
        answer: &mut impl FnMut(usize, &Prefix) -> [u8; ADDRESSES],
    ) {
        let client = &mut self.clients[at];
        let index = client.prefix as usize;
        let prefix = &mut self.prefixes[index];
        if let Some(before) = entrance(&client.answer, alive) {
            prefix.entering[before] -= 1;
        }
        client.answer = answer(index, prefix);
        if let Some(now) = entrance(&client.answer, alive) {
            prefix.entering[now] += 1;
        }
    }

    /// Regions have died or come back: clients go to the first address that answers. Returns how many
    /// have none.
    pub(crate) fn alive_changed(&mut self, alive: &[bool; REGIONS]) -> usize {
        for prefix in &mut self.prefixes {
            prefix.entering = [0; REGIONS];
        }
        let mut lost = 0;
        for client in &self.clients {
            match entrance(&client.answer, alive) {
                Some(region) => self.prefixes[client.prefix as usize].entering[region] += 1,
                None => lost += 1,
            }
        }
        lost
    }
}

/// The first address of an answer that is alive.
fn entrance(answer: &[u8; ADDRESSES], alive: &[bool; REGIONS]) -> Option<usize> {
    let mut regions = answer.iter().map(|region| usize::from(*region));
    regions.find(|region| alive.get(*region) == Some(&true))
}

/// Requests in flight of one client of a prefix, at a part of the day. Busiest in its afternoon, a
/// `NIGHT`th of it in its night.
pub(crate) fn activity(turn: f32, day: f32) -> f32 {
    let wave = ((turn + day) * std::f32::consts::TAU).sin();
    NIGHT + (1.0 - NIGHT) * 0.5 * (1.0 + wave)
}
