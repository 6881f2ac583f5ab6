//! The audit log's chain: made by a task in the background, read and verified here.

use std::sync::Arc;

use domain::Timestamp;
use serde_json::Value;
use store::{AuditFilter, SealedEntry, Sealer, StoreError, Tx};
use tokio::sync::watch;
use wire::admin::List;
use wire::admin::audit::{Entry, ExportedHead, Head, Verdict, Verify};

use super::{Page, text, time};
use crate::Mall;
use crate::error::{Error, Result};

/// How many entries are sealed in one transaction.
const SEAL_BATCH: i64 = 500;
/// How many entries are verified at a time.
const VERIFY_BATCH: i64 = 500;
/// What stands before the first entry's MAC.
const GENESIS: [u8; 32] = [0; 32];
/// Sorts after every id of an entry.
const AFTER_ALL_IDS: &str = "b";

/// Gives entries of the audit log their place in the chain, until `stop` turns true. Any number of
/// nodes may do so at once.
pub async fn run_sealer(mall: Arc<Mall>, mut stop: watch::Receiver<bool>) {
    loop {
        let stopping = *stop.borrow();
        match mall.seal_audit().await {
            Ok(()) => {}
            Err(Error::Store(error)) if error.is_lost_race() => {
                tracing::debug!("another node seals the audit log");
            }
            Err(error) => tracing::error!(%error, "the audit log cannot be sealed"),
        }
        // What was written before the stop is sealed above.
        if stopping {
            return;
        }
        tokio::select! {
            () = mall.audit_bell.notified() => {}
            () = tokio::time::sleep(mall.settings.poll.to_std()) => {}
            // Nobody left to tell us to stop means that we should.
            changed = stop.changed() => if changed.is_err() { return },
        }
    }
}

/// Which entries are wanted, as a request says it.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Of this token.
    pub token_id: Option<String>,
    /// This action.
    pub action: Option<String>,
    /// Of this mode.
    pub mode: Option<String>,
    /// Of this object.
    pub object: Option<String>,
    /// From this time on.
    pub from: Option<String>,
    /// Before this time.
    pub to: Option<String>,
}

/// Checks a chain entry by entry.
#[derive(Debug)]
pub struct Verifier<'a> {
    sealer: &'a Sealer,
    head: Option<&'a ExportedHead>,
    previous: Vec<u8>,
    /// The place of the last entry that holds.
    pub sequence: i64,
}

/// The first place of a chain that does not hold, and what was found there.
pub type Bad = (i64, String);

impl<'a> Verifier<'a> {
    /// At the beginning of the chain.
    pub fn new(sealer: &'a Sealer, head: Option<&'a ExportedHead>) -> Self {
        Self { sealer, head, previous: GENESIS.to_vec(), sequence: 0 }
    }

    /// Checks the next entry.
    pub fn next(&mut self, sealed: &SealedEntry) -> std::result::Result<(), Bad> {
        let place = self.sequence + 1;
        if sealed.sequence != Some(place) {
            return Err((place, "the entry is missing, or out of its place".to_owned()));
        }
        if !sealed.entry_holds(self.sealer) {
            return Err((place, "the entry is not as it was written".to_owned()));
        }
        let mac = sealed.chain_mac(self.sealer, place, &self.previous);
        // The verifier's own MAC is no secret to whoever may call it.
        if sealed.mac != mac {
            return Err((place, "the entry is not the one that was sealed here".to_owned()));
        }
        if let Some(head) = self.head.filter(|head| head.sequence == place)
            && head.mac != hex::encode(mac)
        {
            let what = "the exported head was sealed over other entries, here or before".to_owned();
            return Err((place, what));
        }
        self.previous = mac.to_vec();
        self.sequence = place;
        Ok(())
    }

    /// Checks that nothing is cut off at the end.
    pub fn finish(&self) -> std::result::Result<(), Bad> {
        match self.head {
            Some(head) if head.sequence > self.sequence => {
                Err((self.sequence + 1, "the log ends before the exported head".to_owned()))
            }
            Some(head) if head.sequence == 0 && head.mac != hex::encode(GENESIS) => {
                Err((0, "the exported head is none of this log".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn shown(sealed: SealedEntry) -> Entry {
    let SealedEntry { entry, sequence, mac, .. } = sealed;
    let value = |json: &str| serde_json::from_str(json).unwrap_or_else(|_| Value::from(json));
    Entry {
        sequence,
        at: text(entry.at),
        before: value(&entry.before),
        after: value(&entry.after),
        mode: Some(entry.mode).filter(|mode| !mode.is_empty()),
        mac: sequence.map(|_| hex::encode(mac)),
        audit_id: entry.id,
        token_id: entry.token_id,
        token_name: entry.token_name,
        action: entry.action,
        object: entry.object,
        request_id: entry.request_id,
    }
}

impl Mall {
    /// Seals all that waits.
    async fn seal_audit(&self) -> Result<()> {
        // An idle node must not keep taking SQLite's writer.
        while self.store.has_unsealed_audit().await? {
            let mut tx = self.store.begin().await?;
            let waiting = tx.unsealed_audit(SEAL_BATCH).await?;
            let last = tx.last_sealed_audit().await?;
            let mut sequence = last.as_ref().and_then(|last| last.sequence).unwrap_or(0);
            let mut previous = last.map_or_else(|| GENESIS.to_vec(), |last| last.mac);
            for entry in &waiting {
                sequence += 1;
                let mac = entry.chain_mac(&self.sealer, sequence, &previous);
                tx.seal_audit(&entry.entry.id, sequence, &mac).await?;
                previous = mac.to_vec();
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// What was changed, the newest first.
    pub async fn list_audit(&self, query: AuditQuery, page: &Page) -> Result<List<Entry>> {
        let from = time("from", query.from.as_deref())?;
        let to = time("to", query.to.as_deref())?;
        let after = if page.after.is_empty() { AFTER_ALL_IDS } else { &page.after };
        let filter = AuditFilter {
            token_id: query.token_id.unwrap_or_default(),
            action: query.action.unwrap_or_default(),
            mode: query.mode.unwrap_or_default(),
            object: query.object.unwrap_or_default(),
            from: from.unwrap_or(Timestamp::from_micros(i64::MIN)),
            to: to.unwrap_or(Timestamp::from_micros(i64::MAX)),
            before_id: after.to_owned(),
        };
        let mut tx = self.store.read().await?;
        let entries = tx.audit_page(&filter, page.limit_and_one()).await?;
        Ok(page.list(entries, |sealed| sealed.entry.id.clone(), shown))
    }

    /// The end of the chain.
    pub async fn audit_head(&self) -> Result<Head> {
        let head = self.store.read().await?.audit_head().await?;
        let last = head.last.as_ref();
        Ok(Head {
            sequence: last.and_then(|last| last.sequence).unwrap_or(0),
            mac: hex::encode(last.map_or(GENESIS.as_slice(), |last| &last.mac)),
            at: last.map(|last| text(last.entry.at)),
            count: head.sealed,
            unsealed: head.unsealed,
        })
    }

    /// Verifies the whole chain, a page at a time.
    pub async fn verify_audit(&self, request: &Verify) -> Result<Verdict> {
        let mut verifier = Verifier::new(&self.sealer, request.head.as_ref());
        let found = loop {
            // A connection of its own for each page: others may need it meanwhile.
            let mut tx = self.store.read().await?;
            let page = next_entries(&mut tx, &verifier).await;
            drop(tx);
            match page {
                Ok(entries) if entries.is_empty() => break verifier.finish(),
                Ok(entries) => {
                    let checked = entries.iter().try_for_each(|entry| verifier.next(entry));
                    if checked.is_err() {
                        break checked;
                    }
                }
                Err(error) if error.is_undecodable() => {
                    break Err((verifier.sequence + 1, "the entry cannot be read".to_owned()));
                }
                Err(error) => return Err(error.into()),
            }
        };
        let unsealed = self.store.read().await?.audit_head().await?.unsealed;
        let count = verifier.sequence;
        Ok(match found {
            Ok(()) => {
                let detail = "every entry is as it was written".to_owned();
                Verdict { intact: true, count, unsealed, first_bad: None, detail }
            }
            Err((place, detail)) => {
                tracing::error!(sequence = place, detail, "the audit log was tampered with");
                Verdict { intact: false, count, unsealed, first_bad: Some(place), detail }
            }
        })
    }
}

/// The entries that a verifier wants next. Where one of them cannot be read, those before it.
async fn next_entries(
    tx: &mut Tx,
    verifier: &Verifier<'_>,
) -> std::result::Result<Vec<SealedEntry>, StoreError> {
    // From before the first place on, so that one made up there is seen.
    let after = if verifier.sequence == 0 { i64::MIN } else { verifier.sequence };
    match tx.audit_chain(after, VERIFY_BATCH).await {
        Err(error) if error.is_undecodable() => tx.audit_chain(after, 1).await,
        page => page,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use store::AuditEntry;

    use super::*;

    /// How many entries the tampered chain has.
    const ENTRIES: usize = 40;

    fn sealer() -> Sealer {
        Sealer::new(&[7; 32])
    }

    /// An entry as a request writes it, not sealed yet.
    fn entry(sealer: &Sealer, number: usize) -> SealedEntry {
        let entry = AuditEntry {
            id: format!("aud_{number:032x}"),
            at: Timestamp::from_micros(1_700_000_000_000_000),
            token_id: format!("tok_{:032x}", number % 3),
            token_name: "Jo".to_owned(),
            action: "partner.change".to_owned(),
            mode: ["live", "test", ""][number % 3].to_owned(),
            object: format!("partners/P{}", number % 5),
            before: format!("{{\"name\":\"{number}\"}}"),
            after: format!("{{\"name\":\"{}\"}}", number + 1),
            request_id: format!("req_{number:032x}"),
        };
        let entry_mac = entry.entry_mac(sealer).to_vec();
        SealedEntry { entry, entry_mac, sequence: None, mac: Vec::new() }
    }

    fn chain(sealer: &Sealer) -> Vec<SealedEntry> {
        let mut previous = GENESIS.to_vec();
        let seal = |(place, number): (i64, usize)| {
            let mut new = entry(sealer, number);
            previous = new.chain_mac(sealer, place, &previous).to_vec();
            (new.sequence, new.mac) = (Some(place), previous.clone());
            new
        };
        (1..).zip(0..ENTRIES).map(seal).collect()
    }

    fn verify(
        sealer: &Sealer,
        chain: &[SealedEntry],
        head: Option<&ExportedHead>,
    ) -> std::result::Result<(), Bad> {
        let mut verifier = Verifier::new(sealer, head);
        chain.iter().try_for_each(|sealed| verifier.next(sealed))?;
        verifier.finish()
    }

    fn exported(chain: &[SealedEntry]) -> ExportedHead {
        let last = chain.last().unwrap();
        ExportedHead { sequence: last.sequence.unwrap(), mac: hex::encode(&last.mac) }
    }

    /// What somebody does who can write to the database but has no key.
    #[derive(Debug, Clone)]
    enum Tampering {
        /// Changes a letter, or all, of one column.
        Edit { row: usize, column: usize, byte: usize, to: u8 },
        /// Puts one row's column into another row.
        Copy { from: usize, to: usize, column: usize },
        /// Deletes rows, and closes the gap or not.
        Delete { row: usize, count: usize, renumber: bool },
        /// Writes a row once more somewhere, or one made up, and makes room or not.
        Insert { from: usize, at: usize, made_up: bool, renumber: bool },
        /// Two rows change places, with their MACs of the chain or without.
        Swap { one: usize, other: usize, macs_too: bool },
        /// Cuts the end off.
        Truncate { at: usize },
    }

    fn tampering() -> impl Strategy<Value = Tampering> {
        let row = 0..ENTRIES;
        prop_oneof![
            (row.clone(), 0..COLUMNS, 0_usize..64, any::<u8>())
                .prop_map(|(row, column, byte, to)| Tampering::Edit { row, column, byte, to }),
            (row.clone(), row.clone(), 0..COLUMNS).prop_map(|(from, to, column)| Tampering::Copy {
                from,
                to,
                column
            }),
            (row.clone(), 1_usize..5, any::<bool>())
                .prop_map(|(row, count, renumber)| Tampering::Delete { row, count, renumber }),
            (row.clone(), 0..=ENTRIES, any::<bool>(), any::<bool>()).prop_map(
                |(from, at, made_up, renumber)| Tampering::Insert { from, at, made_up, renumber }
            ),
            (row.clone(), row.clone(), any::<bool>())
                .prop_map(|(one, other, macs_too)| Tampering::Swap { one, other, macs_too }),
            row.prop_map(|at| Tampering::Truncate { at }),
        ]
    }

    const COLUMNS: usize = 13;

    /// A column's bytes, written to by a function.
    fn column(sealed: &mut SealedEntry, column: usize, write: &mut dyn FnMut(&mut Vec<u8>)) {
        let entry = &mut sealed.entry;
        let number = |number: i64, write: &mut dyn FnMut(&mut Vec<u8>)| {
            let mut bytes = number.to_be_bytes().to_vec();
            write(&mut bytes);
            bytes.resize(8, 0);
            i64::from_be_bytes(bytes.try_into().unwrap())
        };
        let text = match column {
            0 => &mut entry.id,
            1 => &mut entry.token_id,
            2 => &mut entry.token_name,
            3 => &mut entry.action,
            4 => &mut entry.mode,
            5 => &mut entry.object,
            6 => &mut entry.before,
            7 => &mut entry.after,
            8 => &mut entry.request_id,
            9 => {
                entry.at = Timestamp::from_micros(number(entry.at.as_micros(), write));
                return;
            }
            10 => {
                sealed.sequence = Some(number(sealed.sequence.unwrap(), write));
                return;
            }
            11 => return write(&mut sealed.entry_mac),
            _ => return write(&mut sealed.mac),
        };
        let mut bytes = std::mem::take(text).into_bytes();
        write(&mut bytes);
        *text = bytes.into_iter().map(char::from).collect();
    }

    fn renumber(chain: &mut [SealedEntry]) {
        for (place, sealed) in (1..).zip(chain) {
            sealed.sequence = Some(place);
        }
    }

    fn tamper(chain: &mut Vec<SealedEntry>, tampering: &Tampering) {
        match *tampering {
            Tampering::Edit { row, column: which, byte, to } => {
                column(&mut chain[row], which, &mut |bytes| match bytes.len() {
                    0 => bytes.push(to),
                    length => bytes[byte % length] = to,
                });
            }
            Tampering::Copy { from, to, column: which } => {
                let mut copied = Vec::new();
                column(&mut chain[from], which, &mut |bytes| copied.clone_from(bytes));
                column(&mut chain[to], which, &mut |bytes| bytes.clone_from(&copied));
            }
            Tampering::Delete { row, count, renumber: close } => {
                chain.drain(row..(row + count).min(ENTRIES));
                if close {
                    renumber(chain);
                }
            }
            Tampering::Insert { from, at, made_up, renumber: make_room } => {
                let mut new = chain[from].clone();
                if made_up {
                    new.entry.after = "{}".to_owned();
                    // Without the key, whoever makes an entry up has to guess.
                    new.entry_mac = new.entry.entry_mac(&Sealer::new(&[8; 32])).to_vec();
                }
                chain.insert(at, new);
                if make_room {
                    renumber(chain);
                }
            }
            Tampering::Swap { one, other, macs_too } => {
                chain.swap(one, other);
                if !macs_too {
                    let mac = chain[one].mac.clone();
                    chain[one].mac = std::mem::replace(&mut chain[other].mac, mac);
                }
                renumber(chain);
            }
            Tampering::Truncate { at } => chain.truncate(at),
        }
        // As the database gives them.
        chain.sort_by_key(|sealed| sealed.sequence);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        /// Every tampering is found, and at the first place that is not as it was.
        #[test]
        fn every_tampering_is_found_where_it_begins(what in tampering()) {
            let sealer = sealer();
            let original = chain(&sealer);
            let head = exported(&original);
            let mut tampered = original.clone();
            tamper(&mut tampered, &what);
            prop_assume!(tampered != original);
            let differs = (0..=ENTRIES).find(|place| original.get(*place) != tampered.get(*place));
            let first = i64::try_from(differs.unwrap()).unwrap() + 1;
            let found = verify(&sealer, &tampered, Some(&head));
            prop_assert_eq!(found.map_err(|(place, _)| place), Err(first), "{:?}", what);
            // Only a cut at the end needs the head to be seen.
            let cut = tampered.len() < original.len() && original.starts_with(&tampered);
            prop_assert_eq!(verify(&sealer, &tampered, None).is_ok(), cut);
        }
    }

    #[test]
    fn a_chain_holds_with_every_head_that_was_exported_of_it() {
        let sealer = sealer();
        let whole = chain(&sealer);
        for length in 1..=ENTRIES {
            let head = exported(&whole[..length]);
            assert_eq!(verify(&sealer, &whole, Some(&head)), Ok(()));
        }
        assert_eq!(verify(&sealer, &[], None), Ok(()));
        let none = ExportedHead { sequence: 0, mac: "0".repeat(64) };
        assert_eq!(verify(&sealer, &whole, Some(&none)), Ok(()));
        let foreign = ExportedHead { sequence: 3, mac: "0".repeat(64) };
        assert_eq!(verify(&sealer, &whole, Some(&foreign)).map_err(|bad| bad.0), Err(3));
        assert!(verify(&Sealer::new(&[8; 32]), &whole, None).is_err(), "another key");
    }
}
