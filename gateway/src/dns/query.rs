//! Reads a message: a question that can be answered, or how to refuse it. Accepts exactly what a query may
//! be, so that nothing behind it has to check again.

use domain::base::iana::{Class, Opcode, Rtype};
use domain::base::name::ToLabelIter as _;
use domain::base::opt::{Opt, UnknownOptData};
use domain::base::{Message, Record, UnknownRecordData};

use super::answer::Rcode;
use super::client_subnet::ClientSubnet;
use super::cookie::Cookie;
use super::writer::HEADER;

/// Longest name on the wire (RFC 1035 2.3.4).
pub(super) const MAX_NAME: usize = 255;

/// A query.
#[derive(Debug)]
pub struct Query<'a> {
    /// Its name, as written.
    pub name: &'a [u8],
    /// The same in lower case, in a buffer with its length.
    lower: ([u8; MAX_NAME], usize),
    /// Type and class, as written.
    pub rest: &'a [u8],
    /// The type that is asked for.
    pub qtype: Rtype,
    /// The class that is asked for.
    pub class: Class,
    /// What EDNS says, where it is spoken.
    pub edns: Option<Edns>,
}

/// What the OPT record of a query says (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// Bytes that a datagram to the client may have.
    pub payload: u16,
    /// The version of EDNS; there is only 0.
    pub version: u8,
    /// Whether DNSSEC records are welcome; to be repeated (RFC 3225 3).
    pub dnssec_ok: bool,
    /// The client's network.
    pub subnet: Option<ClientSubnet>,
    /// The cookie.
    pub cookie: Option<Cookie>,
}

/// A message that is not answered with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected<'a> {
    /// Not answered at all: too short to have an identifier, or itself a response.
    Silence,
    /// Answered with a code, and with the question where it could be read.
    Code(Rcode, Option<(&'a [u8], &'a [u8])>, Option<Edns>),
}

impl<'a> Query<'a> {
    /// Reads a message.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Rejected<'a>> {
        let message = Message::from_octets(bytes).map_err(|_| Rejected::Silence)?;
        let header = message.header();
        if header.qr() {
            return Err(Rejected::Silence);
        }
        let form_error = Rejected::Code(Rcode::FormErr, None, None);
        if header.opcode() != Opcode::QUERY {
            return Err(Rejected::Code(Rcode::NotImp, None, None));
        }
        let question = message.sole_question().map_err(|_| form_error)?;
        if question.qname().is_compressed() {
            return Err(form_error); // There is nothing yet that it could point to.
        }
        let name_end = HEADER + usize::from(question.qname().compose_len());
        let name = bytes.get(HEADER..name_end).ok_or(form_error)?;
        let rest = bytes.get(name_end..name_end + 4).ok_or(form_error)?;
        let asked = Some((name, rest));
        let counts = message.header_counts();
        let is_transfer = question.qtype() == Rtype::IXFR; // carries the SOA that it has
        if counts.ancount() > 0 || (counts.nscount() > 0 && !is_transfer) {
            return Err(Rejected::Code(Rcode::FormErr, asked, None));
        }
        let edns = edns(&message).ok_or(Rejected::Code(Rcode::FormErr, asked, None))?;
        if edns.is_some_and(|edns| edns.version > 0) {
            return Err(Rejected::Code(Rcode::BadVers, asked, edns));
        }
        let mut lower = [0; MAX_NAME];
        let copy = lower.get_mut(..name.len()).ok_or(form_error)?;
        copy.copy_from_slice(name);
        copy.make_ascii_lowercase(); // Lengths of labels are below 64, where no letters are.
        Ok(Self {
            name,
            lower: (lower, name.len()),
            rest,
            qtype: question.qtype(),
            class: question.qclass(),
            edns,
        })
    }

    /// The name in lower case, as zones are searched.
    pub fn lower(&self) -> &[u8] {
        &self.lower.0[..self.lower.1]
    }
}

/// What EDNS says; `None` where the message is malformed.
fn edns(message: &Message<&[u8]>) -> Option<Option<Edns>> {
    let mut section = message.additional().ok()?;
    let mut edns = None;
    for record in section.by_ref() {
        let record = record.ok()?;
        if record.rtype() != Rtype::OPT {
            continue;
        }
        let is_second = edns.is_some();
        if is_second || !record.owner().is_root() {
            return None;
        }
        let record: Record<_, UnknownRecordData<_>> = record.into_record().ok()??;
        let ttl = record.ttl().as_secs();
        let mut read = Edns {
            payload: record.class().to_int(),
            version: (ttl >> 16) as u8,
            dnssec_ok: ttl & 0x8000 != 0,
            subnet: None,
            cookie: None,
        };
        // Options of a later version may look otherwise.
        if read.version == 0 {
            options(record.data().data(), &mut read)?;
        }
        edns = Some(read);
    }
    // Something behind the last record is not DNS.
    (section.pos() == message.as_slice().len()).then_some(edns)
}

fn options(data: &[u8], edns: &mut Edns) -> Option<()> {
    let options = Opt::from_slice(data).ok()?;
    for option in options.iter::<UnknownOptData<_>>() {
        let option = option.ok()?;
        match option.code().to_int() {
            ClientSubnet::CODE if edns.subnet.is_none() => {
                edns.subnet = Some(ClientSubnet::parse(option.as_slice())?);
            }
            ClientSubnet::CODE => return None,
            Cookie::CODE if edns.cookie.is_none() => {
                edns.cookie = Some(Cookie::parse(option.as_slice())?);
            }
            _ => {}
        }
    }
    Some(())
}
