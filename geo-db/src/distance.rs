//! Great-circle geometry. Kilometres are an input of the cost model, never its answer.

use crate::location::Point;

/// Mean radius of the earth in kilometres (IUGG).
const EARTH_RADIUS_KM: f32 = 6371.0;

/// Great-circle distance in kilometres.
pub fn great_circle_km(a: Point, b: Point) -> f32 {
    Direction::of(a).km_to(Direction::of(b))
}

/// A point as a unit vector: distances to many others then cost three multiplications each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Direction {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) z: f32,
}

impl Direction {
    pub(crate) fn of(point: Point) -> Self {
        let (sin_lat, cos_lat) = point.lat.to_radians().sin_cos();
        let (sin_lon, cos_lon) = point.lon.to_radians().sin_cos();
        Self {
            x: cos_lat * cos_lon,
            y: cos_lat * sin_lon,
            z: sin_lat,
        }
    }

    /// Square of the straight line between the two: ordered as the distance is, without a root.
    pub(crate) fn chord_squared(self, other: Self) -> f32 {
        let (dx, dy, dz) = (self.x - other.x, self.y - other.y, self.z - other.z);
        dx * dx + dy * dy + dz * dz
    }

    pub(crate) fn km_to(self, other: Self) -> f32 {
        km_of_chord_squared(self.chord_squared(other))
    }
}

/// Arc length in kilometres over a squared chord of the unit sphere.
pub(crate) fn km_of_chord_squared(chord_squared: f32) -> f32 {
    let half_chord = (chord_squared.sqrt() / 2.0).min(1.0);
    2.0 * EARTH_RADIUS_KM * half_chord.asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_distances_hold_within_a_percent() {
        let at = |lat, lon| Point { lat, lon };
        let cases = [
            (at(40.71, -74.01), at(51.51, -0.13), 5570.0), // New York, London
            (at(1.35, 103.82), at(-33.87, 151.21), 6300.0), // Singapore, Sydney
            (at(0.0, 0.0), at(0.0, 180.0), 20015.0),       // antipodes
            (at(52.3, 4.9), at(52.3, 4.9), 0.0),
        ];
        for (a, b, want) in cases {
            let km = great_circle_km(a, b);
            assert!(
                (km - want).abs() <= want * 0.01 + 0.01,
                "{a:?} {b:?}: {km}, not {want}"
            );
        }
    }
}
