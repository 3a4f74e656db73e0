//! Writes a response into a buffer that the caller owns. Record data is composed when the zone is loaded, so
//! all that is left is a header, names that point into the question, and copies.

use domain::base::iana::Rtype;

/// Length of a message's header (RFC 1035 4.1.1).
pub(super) const HEADER: usize = 12;

/// The buffer, or the size that the client takes, is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response does not fit")]
pub struct Full;

/// The sections of a message, as their counts stand in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What was asked.
    Question = 0,
    /// What was found.
    Answer = 1,
    /// Who is in charge.
    Authority = 2,
    /// What helps.
    Additional = 3,
}

/// A response that is being written.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    limit: usize,
    counts: [u16; 4],
    /// Where the question's name ends; it begins behind the header. Both are 0 without a question.
    name_end: usize,
}

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    len: usize,
    counts: [u16; 4],
}

impl<'a> Writer<'a> {
    /// Begins a message of at most `limit` bytes. The header is written by [`finish`](Self::finish).
    pub fn new(out: &'a mut [u8], limit: usize) -> Result<Self, Full> {
        let limit = limit.min(out.len());
        if limit < HEADER {
            return Err(Full);
        }
        Ok(Self {
            out,
            len: HEADER,
            limit,
            counts: [0; 4],
            name_end: 0,
        })
    }

    /// Repeats the question as it came, so that the case of its letters is kept.
    pub fn question(&mut self, name: &[u8], rest: &[u8]) -> Result<(), Full> {
        self.put(name)?;
        self.name_end = self.len;
        self.put(rest)?;
        self.count(Section::Question)
    }

    /// Changes the size that the message may have.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(self.out.len());
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing but the header's place was written.
    pub fn is_empty(&self) -> bool {
        self.len == HEADER
    }

    /// Here.
    pub fn mark(&self) -> Mark {
        Mark {
            len: self.len,
            counts: self.counts,
        }
    }

    /// Forgets what was written since.
    pub fn rewind(&mut self, mark: Mark) {
        self.len = mark.len;
        self.counts = mark.counts;
    }

    /// How many records a section has.
    pub fn records(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// Writes a record of class IN whose data `data` writes.
    pub fn record(
        &mut self,
        section: Section,
        owner: &[u8],
        rtype: Rtype,
        ttl: u32,
        data: impl FnOnce(&mut Self) -> Result<(), Full>,
    ) -> Result<(), Full> {
        self.name(owner)?;
        self.fields(rtype.to_int(), 1, ttl)?;
        self.data(data)?;
        self.count(section)
    }

    /// Writes the OPT record (RFC 6891 6.1.2): class and TTL mean something else there.
    pub fn opt(
        &mut self,
        payload: u16,
        extended: u32,
        options: impl FnOnce(&mut Self) -> Result<(), Full>,
    ) -> Result<(), Full> {
        self.put(&[0])?;
        self.fields(Rtype::OPT.to_int(), payload, extended)?;
        self.data(options)?;
        self.count(Section::Additional)
    }

    /// Writes a name, as a pointer where it is the question's or ends it (RFC 1035 4.1.4).
    pub fn name(&mut self, name: &[u8]) -> Result<(), Full> {
        match self.position_in_question(name) {
            Some(at) => self.put(&(0xc000 | at).to_be_bytes()),
            None => self.put(name),
        }
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len + bytes.len();
        if end > self.limit {
            return Err(Full);
        }
        self.out
            .get_mut(self.len..end)
            .ok_or(Full)?
            .copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// Writes the header and returns the length. `flags` are its second 16 bits.
    pub fn finish(self, id: [u8; 2], flags: u16) -> usize {
        let mut header = [0; HEADER];
        header[..2].copy_from_slice(&id);
        header[2..4].copy_from_slice(&flags.to_be_bytes());
        for (field, count) in header[4..].chunks_exact_mut(2).zip(self.counts) {
            field.copy_from_slice(&count.to_be_bytes());
        }
        self.out[..HEADER].copy_from_slice(&header);
        self.len
    }

    fn fields(&mut self, rtype: u16, class: u16, ttl: u32) -> Result<(), Full> {
        let mut fields = [0; 8];
        fields[..2].copy_from_slice(&rtype.to_be_bytes());
        fields[2..4].copy_from_slice(&class.to_be_bytes());
        fields[4..].copy_from_slice(&ttl.to_be_bytes());
        self.put(&fields)
    }

    /// Writes what `write` does behind its length in 16 bits, and returns that length.
    pub(super) fn data(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), Full>,
    ) -> Result<u16, Full> {
        let at = self.len;
        self.put(&[0; 2])?;
        write(self)?;
        let length = u16::try_from(self.len - at - 2).map_err(|_| Full)?;
        self.out[at..at + 2].copy_from_slice(&length.to_be_bytes());
        Ok(length)
    }

    fn count(&mut self, section: Section) -> Result<(), Full> {
        let count = &mut self.counts[section as usize];
        *count = count.checked_add(1).ok_or(Full)?;
        Ok(())
    }

    fn position_in_question(&self, name: &[u8]) -> Option<u16> {
        let question = self.out.get(HEADER..self.name_end)?;
        let skip = question.len().checked_sub(name.len())?;
        let mut at = 0;
        while at < skip {
            at += 1 + usize::from(*question.get(at)?);
        }
        let is_end = at == skip && name.len() > 1 && question[at..].eq_ignore_ascii_case(name);
        is_end.then(|| u16::try_from(HEADER + at).ok())?
    }
}
