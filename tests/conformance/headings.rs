//! The specifications of the table and their headings.

/// A specification and its sections.
struct Specification {
    name: &'static str,
    /// Each has a case: these sections demand, allow or forbid something of a cache.
    with_requirements: &'static [&'static str],
    /// These may be named too.
    others: &'static [&'static str],
}

const SPECIFICATIONS: &[Specification] = &[
    Specification {
        name: "RFC 9111",
        with_requirements: &[
            "1.2.2", "2", "3", "3.1", "3.2", "3.3", "3.4", "3.5", "4", "4.1", "4.2", "4.2.1",
            "4.2.2", "4.2.3", "4.2.4", "4.3", "4.3.1", "4.3.2", "4.3.3", "4.3.4", "4.3.5", "4.4",
            "5.1", "5.2", "5.2.1", "5.2.1.1", "5.2.1.2", "5.2.1.3", "5.2.1.4", "5.2.1.5",
            "5.2.1.6", "5.2.1.7", "5.2.2", "5.2.2.1", "5.2.2.2", "5.2.2.3", "5.2.2.4", "5.2.2.5",
            "5.2.2.6", "5.2.2.7", "5.2.2.8", "5.2.2.9", "5.2.2.10", "5.2.3", "5.3", "5.4", "5.5",
            "7.1", "7.3",
        ],
        others: &[],
    },
    Specification {
        name: "RFC 9110",
        with_requirements: &[
            "13.1", "13.1.1", "13.1.2", "13.1.3", "13.1.4", "13.1.5", "13.2.1", "13.2.2", "14.1",
            "14.1.1", "14.1.2", "14.2", "14.3", "14.4", "14.5", "14.6", "15.1", "15.3.7",
            "15.3.7.1", "15.3.7.2", "15.3.7.3", "15.4.5", "15.5.13", "15.5.17",
        ],
        others: &[
            "5.3", "5.6.1", "5.6.7", "6.4.1", "6.6.1", "7.6.1", "7.6.3", "8.6", "8.8.1", "8.8.2",
            "8.8.3", "8.8.3.2", "9.2.1", "9.3.1", "9.3.2", "9.3.3", "9.3.7", "12.5.5", "15.6.5",
        ],
    },
    Specification {
        name: "RFC 9112",
        with_requirements: &[],
        others: &["6.3", "8"],
    },
    Specification {
        name: "RFC 5861",
        with_requirements: &["3", "4"],
        others: &[],
    },
    Specification {
        name: "RFC 8246",
        with_requirements: &["2"],
        others: &[],
    },
    Specification {
        name: "RFC 9211",
        with_requirements: &["2", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6"],
        others: &["2.7", "2.8"],
    },
    Specification {
        name: "RFC 9213",
        with_requirements: &["2", "2.1", "2.2", "3"],
        others: &[],
    },
    Specification {
        name: "RFC 9651",
        with_requirements: &["3.2", "4.2"],
        others: &["3.3.1", "3.3.3", "3.3.6", "4.2.2", "4.2.3.2"],
    },
    // What no RFC says and the administrator's interface promises.
    Specification {
        name: "purge",
        with_requirements: &["key", "prefix"],
        others: &[],
    },
];

/// Every heading that must have a case.
pub(crate) fn with_requirements() -> impl Iterator<Item = String> {
    SPECIFICATIONS.iter().flat_map(|specification| {
        let sections = specification.with_requirements.iter();
        sections.map(|section| format!("{} {section}", specification.name))
    })
}

/// Whether a clause is one of the table's specifications.
pub(crate) fn is_known(clause: &str) -> bool {
    SPECIFICATIONS.iter().any(|specification| {
        let sections = specification.with_requirements.iter();
        sections
            .chain(specification.others)
            .any(|section| clause.strip_prefix(specification.name) == Some(&format!(" {section}")))
    })
}
