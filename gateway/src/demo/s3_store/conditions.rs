//! Conditional reads (RFC 9110, section 13), which the file store underneath leaves out.
//!
//! Pure: an object's validators and the request's conditions in, the outcome out. As on Ceph RGW each
//! condition holds one entity tag or `*`; a list never matches.

use s3s::dto::{ETag, ETagCondition, GetObjectInput, HeadObjectInput, Timestamp, TimestampFormat};

/// The conditions a GET or HEAD may carry.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
}

/// What the conditions come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Answer as if there were no conditions.
    Proceed,
    /// 304: the requester's copy still holds.
    NotModified,
    /// 412: the object is not the one the requester meant.
    PreconditionFailed,
}

impl Conditions {
    /// Steps 1 to 4 of RFC 9110, section 13.2.2, in their order.
    pub(super) fn outcome(
        &self,
        etag: Option<&ETag>,
        last_modified: Option<&Timestamp>,
    ) -> Outcome {
        if let Some(wanted) = &self.if_match {
            if !matches(wanted, etag, ETag::strong_cmp) {
                return Outcome::PreconditionFailed;
            }
        } else if is_after(last_modified, self.if_unmodified_since.as_ref()) == Some(true) {
            return Outcome::PreconditionFailed;
        }

        if let Some(known) = &self.if_none_match {
            if matches(known, etag, ETag::weak_cmp) {
                return Outcome::NotModified;
            }
        } else if is_after(last_modified, self.if_modified_since.as_ref()) == Some(false) {
            return Outcome::NotModified;
        }
        Outcome::Proceed
    }
}

impl From<&GetObjectInput> for Conditions {
    fn from(input: &GetObjectInput) -> Self {
        Self {
            if_match: input.if_match.clone(),
            if_none_match: input.if_none_match.clone(),
            if_modified_since: input.if_modified_since.clone(),
            if_unmodified_since: input.if_unmodified_since.clone(),
        }
    }
}

impl From<&HeadObjectInput> for Conditions {
    fn from(input: &HeadObjectInput) -> Self {
        Self {
            if_match: input.if_match.clone(),
            if_none_match: input.if_none_match.clone(),
            if_modified_since: input.if_modified_since.clone(),
            if_unmodified_since: input.if_unmodified_since.clone(),
        }
    }
}

fn matches(
    condition: &ETagCondition,
    etag: Option<&ETag>,
    compare: fn(&ETag, &ETag) -> bool,
) -> bool {
    match condition {
        ETagCondition::Any => etag.is_some(),
        ETagCondition::ETag(wanted) => etag.is_some_and(|etag| compare(etag, wanted)),
    }
}

/// `None` if there is nothing to compare.
fn is_after(last_modified: Option<&Timestamp>, since: Option<&Timestamp>) -> Option<bool> {
    Some(whole_seconds(last_modified?)? > *since?)
}

/// HTTP dates have no fractions, files do: compare what the requester was told.
fn whole_seconds(time: &Timestamp) -> Option<Timestamp> {
    let mut http_date = Vec::new();
    time.format(TimestampFormat::HttpDate, &mut http_date)
        .ok()?;
    Timestamp::parse(
        TimestampFormat::HttpDate,
        std::str::from_utf8(&http_date).ok()?,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn at(seconds: f64) -> Option<Timestamp> {
        Some(Timestamp::from(
            SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds),
        ))
    }

    fn tag(value: &str) -> Option<ETagCondition> {
        Some(ETagCondition::ETag(ETag::Strong(value.to_owned())))
    }

    #[test]
    fn conditions_are_judged_in_the_order_of_rfc_9110() {
        let none = Conditions::default;
        let cases = [
            (none(), Outcome::Proceed),
            (
                Conditions {
                    if_match: tag("now"),
                    ..none()
                },
                Outcome::Proceed,
            ),
            (
                Conditions {
                    if_match: tag("old"),
                    ..none()
                },
                Outcome::PreconditionFailed,
            ),
            (
                Conditions {
                    if_match: Some(ETagCondition::Any),
                    ..none()
                },
                Outcome::Proceed,
            ),
            (
                Conditions {
                    if_none_match: tag("now"),
                    ..none()
                },
                Outcome::NotModified,
            ),
            (
                Conditions {
                    if_none_match: tag("old"),
                    ..none()
                },
                Outcome::Proceed,
            ),
            (
                Conditions {
                    if_none_match: Some(ETagCondition::Any),
                    ..none()
                },
                Outcome::NotModified,
            ),
            (
                Conditions {
                    if_modified_since: at(100.0),
                    ..none()
                },
                Outcome::NotModified,
            ),
            (
                Conditions {
                    if_modified_since: at(99.0),
                    ..none()
                },
                Outcome::Proceed,
            ),
            (
                Conditions {
                    if_unmodified_since: at(99.0),
                    ..none()
                },
                Outcome::PreconditionFailed,
            ),
            (
                Conditions {
                    if_unmodified_since: at(100.0),
                    ..none()
                },
                Outcome::Proceed,
            ),
            // An entity tag beats the date beside it.
            (
                Conditions {
                    if_none_match: tag("old"),
                    if_modified_since: at(100.0),
                    ..none()
                },
                Outcome::Proceed,
            ),
            (
                Conditions {
                    if_match: tag("now"),
                    if_unmodified_since: at(99.0),
                    ..none()
                },
                Outcome::Proceed,
            ),
        ];
        let etag = ETag::Strong("now".to_owned());
        for (conditions, outcome) in cases {
            assert_eq!(
                conditions.outcome(Some(&etag), at(100.9).as_ref()),
                outcome,
                "{conditions:?}"
            );
        }
    }
}
