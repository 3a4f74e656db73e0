//! The graph: hubs, the ways between them, shortest paths.

use std::sync::LazyLock;

use arrayvec::ArrayVec;

use super::way::{Area, Way};
use crate::distance::{Direction, km_of_chord_squared};
use crate::location::Point;

/// Hubs through which a user may enter the network: the nearest few are enough.
const HUB_LIMIT: usize = 5;

/// Hubs and the ways between them. Built once from the data files, then read only.
#[derive(Debug)]
pub(crate) struct Network {
    hubs: Vec<Hub>,
    /// The hubs where users may enter, laid out for searching.
    entrances: Vec<Entrances>,
    /// Square matrix of milliseconds, infinite where no way is.
    ways: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Hub {
    name: &'static str,
    direction: Direction,
    area: Area,
}

/// Hubs searched together.
const LANES: usize = 8;

/// The directions of some hubs, one coordinate beside the other.
#[derive(Debug)]
struct Entrances {
    x: [f32; LANES],
    y: [f32; LANES],
    z: [f32; LANES],
    hubs: [u16; LANES],
}

impl Entrances {
    fn chords_squared(&self, place: Direction) -> [f32; LANES] {
        std::array::from_fn(|lane| {
            let (dx, dy, dz) = (
                place.x - self.x[lane],
                place.y - self.y[lane],
                place.z - self.z[lane],
            );
            dx * dx + dy * dy + dz * dz
        })
    }
}

/// Lanes of the last group that hold no hub lie far outside the sphere, and so are never near.
fn entrances(hubs: &[Hub]) -> Vec<Entrances> {
    let open: Vec<(u16, &Hub)> = (0..)
        .zip(hubs)
        .filter(|(_, hub)| hub.area != Area::Waypoint)
        .collect();
    let group = |hubs: &[(u16, &Hub)]| {
        let mut group = Entrances {
            x: [9.0; LANES],
            y: [9.0; LANES],
            z: [9.0; LANES],
            hubs: [u16::MAX; LANES],
        };
        for (lane, (number, hub)) in hubs.iter().enumerate() {
            (group.x[lane], group.y[lane], group.z[lane]) =
                (hub.direction.x, hub.direction.y, hub.direction.z);
            group.hubs[lane] = *number;
        }
        group
    };
    open.chunks(LANES).map(group).collect()
}

/// A hub near a place, and the time between the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) hub: usize,
    pub(crate) ms: f32,
}

impl Network {
    /// The network of the data files.
    pub(crate) fn world() -> &'static Self {
        static WORLD: LazyLock<Network> = LazyLock::new(|| {
            Network::parse(
                include_str!("../../data/hubs.csv"),
                include_str!("../../data/cables.csv"),
            )
        });
        &WORLD
    }

    /// Reads both tables. Lines that mean nothing are left out; a test holds that there are none.
    fn parse(hubs: &'static str, cables: &'static str) -> Self {
        let hubs: Vec<Hub> = rows(hubs).filter_map(parse_hub).collect();
        let mut ways = vec![f32::INFINITY; hubs.len() * hubs.len()];
        let mut join = |a: usize, b: usize, ms: f32| {
            for at in [a * hubs.len() + b, b * hubs.len() + a] {
                ways[at] = ways[at].min(ms);
            }
        };
        for (a, hub) in hubs.iter().enumerate() {
            for (b, other) in hubs
                .iter()
                .enumerate()
                .skip(a + 1)
                .filter(|(_, other)| other.area == hub.area)
            {
                if let Some(ms) = hub.area.mesh_ms(hub.direction.km_to(other.direction)) {
                    join(a, b, ms);
                }
            }
        }
        for cable in rows(cables) {
            if let Some((a, b, ms)) = parse_cable(cable, &hubs) {
                join(a, b, ms);
            }
        }
        Self {
            entrances: entrances(&hubs),
            hubs,
            ways,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.hubs.len()
    }

    /// The hubs nearest to a place. A cable that only passes by is no way in.
    pub(crate) fn access(&self, place: Direction) -> ArrayVec<Access, HUB_LIMIT> {
        let mut near: ArrayVec<(f32, u16), HUB_LIMIT> = ArrayVec::new();
        let mut farthest = f32::INFINITY;
        for group in &self.entrances {
            // All lanes at once, which the compiler turns into vector instructions; groups with
            // nobody near, and that is most of them, end here.
            let chords = group.chords_squared(place);
            if chords.iter().fold(
                f32::INFINITY,
                |least, &chord| if chord < least { chord } else { least },
            ) >= farthest
            {
                continue;
            }
            for (chord, hub) in chords.into_iter().zip(group.hubs) {
                if chord >= farthest {
                    continue;
                }
                if near.is_full() {
                    near.pop();
                }
                let at = near
                    .iter()
                    .position(|&(other, _)| chord < other)
                    .unwrap_or(near.len());
                near.insert(at, (chord, hub));
                if near.is_full() {
                    farthest = near[HUB_LIMIT - 1].0;
                }
            }
        }
        let walled = |hub: u16| {
            self.hubs
                .get(usize::from(hub))
                .is_some_and(|hub| hub.area == Area::Walled)
        };
        let inside = near.first().is_some_and(|&(_, hub)| walled(hub));
        near.retain(|&mut (_, hub)| walled(hub) == inside);
        let access = |(chord, hub): (f32, u16)| {
            let hub = usize::from(hub);
            Some(Access {
                hub,
                ms: self
                    .hubs
                    .get(hub)?
                    .area
                    .access_ms(km_of_chord_squared(chord)),
            })
        };
        near.into_iter().filter_map(access).collect()
    }

    /// Milliseconds from every hub to a place, by the shortest path. Dijkstra's algorithm over the
    /// matrix, which for some two hundred hubs beats a heap.
    pub(crate) fn ms_to(&self, place: Point) -> Vec<f32> {
        let count = self.hubs.len();
        let mut ms = vec![f32::INFINITY; count];
        let mut done = vec![false; count];
        for access in self.access(Direction::of(place)) {
            ms[access.hub] = access.ms;
        }
        let nearest_open = |ms: &[f32], done: &[bool]| {
            (0..count)
                .filter(|&hub| !done[hub] && ms[hub].is_finite())
                .min_by(|&a, &b| ms[a].total_cmp(&ms[b]))
        };
        while let Some(hub) = nearest_open(&ms, &done) {
            done[hub] = true;
            let through = ms[hub];
            let row = &self.ways[hub * count..(hub + 1) * count];
            for (known, way) in ms.iter_mut().zip(row) {
                *known = known.min(through + way);
            }
        }
        ms
    }
}

fn rows(table: &'static str) -> impl Iterator<Item = &'static str> {
    table
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// `name,lat,lon,area`
fn parse_hub(row: &'static str) -> Option<Hub> {
    let mut fields = row.split(',');
    let name = fields.next()?;
    let point = Point::new(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?)?;
    let area = Area::parse(fields.next()?)?;
    Some(Hub {
        name,
        direction: Direction::of(point),
        area,
    })
}

/// `hub,hub,way` or `hub,hub,way,extra milliseconds`
fn parse_cable(row: &str, hubs: &[Hub]) -> Option<(usize, usize, f32)> {
    let mut fields = row.split(',');
    let mut hub = || {
        let name = fields.next()?;
        hubs.iter().position(|hub| hub.name == name)
    };
    let (a, b) = (hub()?, hub()?);
    let way = Way::parse(fields.next()?)?;
    let extra: f32 = fields
        .next()
        .map_or(Some(0.0), |extra| extra.parse().ok())?;
    Some((
        a,
        b,
        way.ms(hubs[a].direction.km_to(hubs[b].direction)) + extra,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_files_means_something() {
        let table = include_str!("../../data/hubs.csv");
        let hubs: Vec<Hub> = rows(table).filter_map(parse_hub).collect();
        assert_eq!(hubs.len(), rows(table).count(), "a hub means nothing");
        for (at, hub) in hubs.iter().enumerate() {
            assert!(
                hubs[..at].iter().all(|other| other.name != hub.name),
                "{} twice",
                hub.name
            );
        }
        for row in rows(include_str!("../../data/cables.csv")) {
            assert!(parse_cable(row, &hubs).is_some(), "cable: {row}");
        }
    }

    #[test]
    fn every_hub_is_reached() {
        let world = Network::world();
        let ms = world.ms_to(Point {
            lat: 51.5,
            lon: -0.1,
        });
        for (hub, ms) in world.hubs.iter().zip(ms) {
            assert!(ms < 420.0, "{}: {ms} ms from London", hub.name);
        }
    }
}
