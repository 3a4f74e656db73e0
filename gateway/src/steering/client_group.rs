//! Where a client comes from, coarsely: thirteen groups of countries, few enough for a metric's label.
//! They follow the cables more than the maps: each is a place whose users tend to go the same way.

use geo_db::Country;

/// A group of countries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientGroup(u8);

/// Names, and the countries in them (ISO 3166-1). What is in none is `other`.
const GROUPS: [(&str, &str); 12] = [
    ("north_america", "US CA GL PM BM"),
    (
        "central_america",
        "MX GT BZ SV HN NI CR PA CU DO HT JM PR BS BB TT GD LC VC AG DM KN AI VG VI KY TC MS GP MQ BL MF SX CW AW BQ",
    ),
    ("south_america", "BR AR CL CO PE VE EC BO PY UY GY SR GF FK"),
    (
        "western_europe",
        "GB IE FR DE NL BE LU CH AT ES PT IT AD MC SM VA MT GI LI IM JE GG",
    ),
    ("northern_europe", "SE NO DK FI IS EE LV LT FO AX SJ"),
    (
        "eastern_europe",
        "PL CZ SK HU RO BG SI HR RS BA ME MK AL XK GR CY MD UA BY RU GE AM AZ",
    ),
    (
        "middle_east",
        "TR IL PS JO LB SY IQ IR SA AE QA KW BH OM YE",
    ),
    ("northern_africa", "EG LY TN DZ MA EH SD MR"),
    (
        "southern_africa",
        "NG GH CI SN ML BF NE TD CM GA CG CD CF GQ ST BJ TG GW GN SL LR GM CV KE TZ UG RW BI ET ER DJ SO SS MG MU SC KM RE YT ZA ZW ZM MW MZ AO NA BW LS SZ SH",
    ),
    ("south_asia", "IN PK BD LK NP BT MV AF KZ UZ TM KG TJ"),
    (
        "east_asia",
        "CN HK MO TW JP KR KP MN SG MY ID PH TH VN LA KH MM BN TL",
    ),
    (
        "oceania",
        "AU NZ PG FJ SB VU NC PF WS TO KI TV NR FM MH PW GU MP AS CK NU TK WF NF",
    ),
];

const OTHER: u8 = GROUPS.len() as u8;

impl ClientGroup {
    /// How many there are.
    pub const COUNT: usize = GROUPS.len() + 1;

    /// The group of a country.
    pub fn of(country: Option<Country>) -> Self {
        Self(country.map_or(OTHER, |country| {
            let [a, b] = country.as_str().as_bytes() else {
                return OTHER;
            };
            let at = usize::from(a.wrapping_sub(b'A')) * 26 + usize::from(b.wrapping_sub(b'A'));
            BY_CODE.get(at).copied().unwrap_or(OTHER)
        }))
    }

    /// All names, by index.
    pub fn names() -> impl Iterator<Item = &'static str> {
        GROUPS.iter().map(|(name, _)| *name).chain(["other"])
    }

    /// Its index.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// Group by country code, so that a request does one load.
const BY_CODE: [u8; 26 * 26] = {
    let mut table = [OTHER; 26 * 26];
    let mut group = 0;
    while group < GROUPS.len() {
        let codes = GROUPS[group].1.as_bytes();
        let mut at = 0;
        while at + 1 < codes.len() {
            let code = (codes[at] - b'A') as usize * 26 + (codes[at + 1] - b'A') as usize;
            assert!(table[code] == OTHER, "a country is in two groups");
            table[code] = group as u8;
            at += 3;
        }
        group += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::ClientGroup;

    #[test]
    fn every_country_has_one_group() {
        let names: Vec<_> = ClientGroup::names().collect();
        let of = |code: &str| names[ClientGroup::of(code.parse().ok()).get()];
        assert_eq!(of("DE"), "western_europe");
        assert_eq!(of("NG"), "southern_africa");
        assert_eq!(of("US"), "north_america");
        assert_eq!(of("ZZ"), "other");
        assert_eq!(names[ClientGroup::of(None).get()], "other");
        assert_eq!(names.len(), ClientGroup::COUNT);
    }
}
