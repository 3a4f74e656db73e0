//! Entries in pages, linked into queues by number instead of pointer: 48 bytes each with a value of 24,
//! no allocation per entry, and growing never moves one.

use std::sync::atomic::{AtomicU8, Ordering};

use super::Queue;

/// Entries of one page: what a walk over all entries sees under one lock.
const PAGE: usize = 1024;

/// No entry.
const NIL: u32 = u32::MAX;

/// Uses are counted up to here: enough to tell the popular from the used, and forgotten soon.
const MOST_USES: u8 = 3;

/// Where an entry is, for as long as it stays. Used again after it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(u32);

#[derive(Debug)]
pub(super) struct Node<T> {
    value: Option<T>,
    pub(super) size: u64,
    pub(super) hash: u32,
    /// Towards the newest.
    newer: u32,
    /// Towards the oldest; of a free node, the next free one.
    older: u32,
    uses: AtomicU8,
    pub(super) queue: Queue,
}

impl<T> Node<T> {
    pub(super) fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Counts a use. Two at once may count as one, and who is popular already writes nothing.
    pub(super) fn touch(&self) {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < MOST_USES {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }
}

/// A queue through the arena.
#[derive(Debug)]
pub(super) struct List {
    newest: u32,
    oldest: u32,
    pub(super) bytes: u64,
    pub(super) len: usize,
}

impl Default for List {
    fn default() -> Self {
        Self {
            newest: NIL,
            oldest: NIL,
            bytes: 0,
            len: 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Arena<T> {
    pages: Vec<Vec<Node<T>>>,
    free: u32,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            free: NIL,
        }
    }
}

impl<T> Arena<T> {
    pub(super) fn node(&self, handle: Handle) -> Option<&Node<T>> {
        self.at(handle.0)
    }

    /// A node outside of any queue. `None` when four billion are in use.
    pub(super) fn allocate(
        &mut self,
        hash: u32,
        size: u64,
        value: T,
        queue: Queue,
    ) -> Option<Handle> {
        let node = Node {
            value: Some(value),
            size,
            hash,
            newer: NIL,
            older: NIL,
            uses: AtomicU8::new(0),
            queue,
        };
        let number = self.free;
        if let Some(place) = self.at_mut(number) {
            let next = place.older;
            *place = node;
            self.free = next;
            return Some(Handle(number));
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let before = (self.pages.len() - 1) * PAGE;
        let page = self.pages.last_mut()?;
        let number = u32::try_from(before + page.len())
            .ok()
            .filter(|number| *number != NIL)?;
        page.push(node);
        Some(Handle(number))
    }

    /// Frees a node that is in no queue.
    pub(super) fn release(&mut self, handle: Handle) -> Option<T> {
        let free = self.free;
        let node = self.at_mut(handle.0)?;
        let value = node.value.take()?;
        node.older = free;
        self.free = handle.0;
        Some(value)
    }

    /// Appends a node as the newest.
    pub(super) fn push(&mut self, list: &mut List, handle: Handle) {
        let newest = list.newest;
        let Some(node) = self.at_mut(handle.0) else {
            return;
        };
        (node.newer, node.older) = (NIL, newest);
        list.bytes += node.size;
        list.len += 1;
        list.newest = handle.0;
        match self.at_mut(newest) {
            Some(node) => node.newer = handle.0,
            None => list.oldest = handle.0,
        }
    }

    /// Takes the oldest node out of its queue.
    pub(super) fn pop(&mut self, list: &mut List) -> Option<Handle> {
        let oldest = Handle(list.oldest);
        self.node(oldest)?;
        self.unlink(list, oldest);
        Some(oldest)
    }

    /// Takes a node out of its queue.
    pub(super) fn unlink(&mut self, list: &mut List, handle: Handle) {
        let Some(node) = self.at(handle.0) else {
            return;
        };
        let (newer, older) = (node.newer, node.older);
        list.bytes -= node.size;
        list.len -= 1;
        match self.at_mut(newer) {
            Some(node) => node.older = older,
            None => list.newest = older,
        }
        match self.at_mut(older) {
            Some(node) => node.newer = newer,
            None => list.oldest = newer,
        }
    }

    /// The uses of a node, which start again from none.
    pub(super) fn take_uses(&mut self, handle: Handle) -> u8 {
        self.at_mut(handle.0)
            .map_or(0, |node| std::mem::take(node.uses.get_mut()))
    }

    /// Takes one use away; whether there was one.
    pub(super) fn spend_use(&mut self, handle: Handle) -> bool {
        self.at_mut(handle.0).is_some_and(|node| {
            let uses = node.uses.get_mut();
            let had = *uses > 0;
            *uses = uses.saturating_sub(1);
            had
        })
    }

    /// Says which queue a node is in.
    pub(super) fn requeue(&mut self, handle: Handle, queue: Queue) {
        if let Some(node) = self.at_mut(handle.0) {
            node.queue = queue;
        }
    }

    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    pub(super) fn page(&self, number: usize) -> impl Iterator<Item = (Handle, Queue, u64, &T)> {
        let nodes = self.pages.get(number).map_or(&[][..], |page| page);
        nodes.iter().enumerate().filter_map(move |(at, node)| {
            let handle = Handle((number * PAGE + at) as u32);
            Some((handle, node.queue, node.size, node.value.as_ref()?))
        })
    }

    fn at(&self, number: u32) -> Option<&Node<T>> {
        let number = number as usize;
        self.pages.get(number / PAGE)?.get(number % PAGE)
    }

    fn at_mut(&mut self, number: u32) -> Option<&mut Node<T>> {
        let number = number as usize;
        self.pages.get_mut(number / PAGE)?.get_mut(number % PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_index_takes_48_bytes() {
        assert_eq!(size_of::<Node<(Box<str>, u64)>>(), 48);
    }
}
