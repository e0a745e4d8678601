//! A bank: commands over two accounts at once, and a read model that goes on where it was.
//!
//! ```text
//! cargo run --release -p annals-eventcore --example bank -- [DIR]
//! ```
//!
//! Money is transferred between accounts by many tasks at the same time. A transfer writes to both accounts or to none, and is
//! decided again when another one was faster: that is eventcore's `execute`. Its `run_projection` works out the balances, which
//! are kept in the same log, beside its checkpoint and the events. Run it again: it goes on where it was. At its end it compares
//! the balances with what the events of each account say.

use annals::{AppendError, EventLog};
use annals_eventcore::EventCoreStore;
use eventcore::{
    BackoffStrategy, Command, CommandError, CommandLogic, DelayMilliseconds, Event, FailureContext,
    FailureStrategy, NewEvents, ProjectionConfig, Projector, RetryPolicy, StreamId, StreamPosition,
    collect_events, execute, require, run_projection,
};
use eventcore_types::{CheckpointStore, EventStore, ProjectionSource};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const ACCOUNTS: [&str; 4] = ["anna", "ben", "cleo", "dora"];
const TRANSFERS: u64 = 24;

/// What happens to an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Money {
    Deposited { account: StreamId, amount: i64 },
    Withdrawn { account: StreamId, amount: i64 },
}

impl Event for Money {
    fn stream_id(&self) -> &StreamId {
        match self {
            Money::Deposited { account, .. } | Money::Withdrawn { account, .. } => account,
        }
    }

    fn event_type_name() -> &'static str {
        "Money"
    }
}

impl Money {
    /// What it adds to the account.
    fn amount(&self) -> i64 {
        match self {
            Money::Deposited { amount, .. } => *amount,
            Money::Withdrawn { amount, .. } => -*amount,
        }
    }
}

/// Opens an account with a gift, unless it is open.
#[derive(Command)]
struct Open {
    #[stream]
    account: StreamId,
}

impl CommandLogic for Open {
    type Event = Money;
    type State = bool;

    fn apply(&self, _: bool, _: &Money) -> bool {
        true
    }

    fn handle(&self, is_open: bool) -> Result<NewEvents<Money>, CommandError> {
        if is_open {
            return Ok(NewEvents::default());
        }
        Ok(vec![Money::Deposited { account: self.account.clone(), amount: 100 }].into())
    }
}

/// Takes money from one account to another one.
#[derive(Command)]
struct Transfer {
    #[stream]
    from: StreamId,
    #[stream]
    to: StreamId,
    amount: i64,
}

impl CommandLogic for Transfer {
    type Event = Money;
    /// The balance of the account that is drawn from.
    type State = i64;

    fn apply(&self, balance: i64, event: &Money) -> i64 {
        if *event.stream_id() == self.from { balance + event.amount() } else { balance }
    }

    fn handle(&self, balance: i64) -> Result<NewEvents<Money>, CommandError> {
        require!(balance >= self.amount, "there are only {} on the account", balance);
        let (from, to, amount) = (self.from.clone(), self.to.clone(), self.amount);
        Ok(vec![Money::Withdrawn { account: from, amount }, Money::Deposited { account: to, amount }].into())
    }
}

/// A balance, and the event up to which it counts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Balance {
    balance: i64,
    position: u64,
}

/// Keeps the balances. They are set lazily: the commit that makes the checkpoint durable takes them along, and since each knows
/// its position, an event that comes a second time after a crash is not counted twice.
struct Balances {
    log: EventLog,
    counted: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

fn balance_of(log: &EventLog, account: &str) -> Result<Balance, Box<dyn Error>> {
    let kept = log.kept(&format!("bank/balance/{account}"))?;
    Ok(kept.map(|kept| serde_json::from_slice(&kept.value)).transpose()?.unwrap_or_default())
}

impl Projector for Balances {
    type Event = Money;
    type Error = Box<dyn Error>;
    type Context = ();

    fn apply(&mut self, event: Money, position: StreamPosition, (): &mut ()) -> Result<(), Box<dyn Error>> {
        let account = event.stream_id();
        let position = u64::try_from(position.into_inner().as_u128())?;
        let mut kept = balance_of(&self.log, account)?;
        if kept.position < position {
            kept = Balance { balance: kept.balance + event.amount(), position };
            self.log.try_keep_lazily(&format!("bank/balance/{account}"), serde_json::to_vec(&kept)?)?;
            self.counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    }

    fn name(&self) -> &str {
        "balances"
    }

    fn on_error(&mut self, failure: FailureContext<'_, Box<dyn Error>>) -> FailureStrategy {
        match failure.error.downcast_ref() {
            // Too much waits for the disk: that passes.
            Some(AppendError::Full) => FailureStrategy::Retry,
            _ => FailureStrategy::Fatal,
        }
    }
}

/// Many transfers at once; how many were made, refused, and tried again.
async fn transfer(store: &EventCoreStore, seed: u64) -> Result<(u64, u64, u64), Box<dyn Error>> {
    let transfers = (0..TRANSFERS).map(|i| {
        let store = store.clone();
        // No two runs make the same ones.
        let number = (seed + i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let (from, step) = (number as usize % 4, 1 + (number >> 8) as usize % 3);
        tokio::spawn(async move {
            let [from, to] = [from, (from + step) % 4].map(|at| StreamId::try_new(ACCOUNTS[at]));
            let (from, to) = match (from, to) {
                (Ok(from), Ok(to)) => (from, to),
                (Err(error), _) | (_, Err(error)) => {
                    return Err(CommandError::ValidationError(error.to_string()));
                }
            };
            let soon = BackoffStrategy::Fixed { delay_ms: DelayMilliseconds::new(1) };
            let policy = RetryPolicy::new().max_retries(1_000).backoff_strategy(soon);
            execute(store, Transfer { from, to, amount: (number >> 16) as i64 % 70 + 1 }, policy).await
        })
    });
    let (mut made, mut refused, mut again) = (0, 0, 0);
    for transfer in transfers.collect::<Vec<_>>() {
        match transfer.await? {
            Ok(done) => {
                made += 1;
                again += u64::from(done.attempts() - 1);
            }
            Err(CommandError::BusinessRuleViolation(_)) => refused += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok((made, refused, again))
}

/// What the events of an account say.
async fn fold(store: &EventCoreStore, account: &str) -> Result<(usize, i64), Box<dyn Error>> {
    let events = collect_events(store.read_stream::<Money>(StreamId::try_new(account)?).await?).await?;
    Ok((events.len(), events.iter().map(Money::amount).sum()))
}

async fn run(store: &EventCoreStore, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let before = store.high_watermark().await?.map_or(0, |mark| mark.get());
    let checkpoint = store.load("balances").await?.map_or(0, |position| position.into_inner().as_u128());
    writeln!(out, "Found     events up to position {before}, balances up to position {checkpoint}")?;

    for account in ACCOUNTS {
        execute(store, Open { account: StreamId::try_new(account)? }, RetryPolicy::new()).await?;
    }
    let (made, refused, again) = transfer(store, before).await?;
    writeln!(
        out,
        "Made      {made} transfers at once, {refused} refused, {again} decided again after a conflict"
    )?;

    let counted = std::sync::Arc::default();
    while store.load("balances").await?.map(|position| position.into_inner().as_u128())
        < store.high_watermark().await?.map(|mark| u128::from(mark.get()))
    {
        let balances = Balances { log: store.log().clone(), counted: std::sync::Arc::clone(&counted) };
        run_projection(balances, store, ProjectionConfig::default()).await?;
    }
    let counted = counted.load(std::sync::atomic::Ordering::Relaxed);
    let mark = store.high_watermark().await?.map_or(0, |mark| mark.get());
    writeln!(out, "Counted   {counted} events more, up to position {mark}")?;

    writeln!(out, "\n{:<10}{:>8}{:>10}{:>14}", "account", "events", "balance", "a fold says")?;
    let (mut total, mut agree) = (0, true);
    for account in ACCOUNTS {
        let kept = balance_of(store.log(), account)?;
        let (events, folded) = fold(store, account).await?;
        writeln!(out, "{account:<10}{events:>8}{:>10}{folded:>14}", kept.balance)?;
        total += folded;
        agree &= kept.balance == folded;
    }
    if !agree || total != 100 * ACCOUNTS.len() as i64 {
        return Err(format!("the balances are wrong: {total} in all").into());
    }
    writeln!(out, "\nThe balances and the folds agree, and there are {total} in all, as at the beginning.")?;
    Ok(())
}

fn bank(directory: &Path, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let store = EventCoreStore::open(directory)?;
    let how = if store.log().recovery().created { "a new log" } else { "a log that was there" };
    writeln!(out, "Opened    {}: {how}", directory.display())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
    runtime.block_on(run(&store, out))?;
    Ok(store.log().close()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map_or_else(|| "target/eventcore-bank".into(), PathBuf::from);
    bank(&directory, &mut io::stdout().lock())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(directory: &Path) -> String {
        let mut out = Vec::new();
        bank(directory, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_second_run_goes_on_where_the_first_one_was() {
        let dir = tempfile::tempdir().unwrap();
        let first = said(dir.path());
        assert!(
            first.contains("a new log\nFound     events up to position 0, balances up to position 0\n"),
            "{first}"
        );
        let mut end = 0;
        for round in 0..3 {
            let said = if round == 0 { first.clone() } else { said(dir.path()) };
            let found = format!("Found     events up to position {end}, balances up to position {end}\n");
            assert!(said.contains(&found), "{said}");
            assert!(said.ends_with("there are 400 in all, as at the beginning.\n"), "{said}");
            let (_, mark) = said.split_once("events more, up to position ").unwrap();
            let mark: u64 = mark.split('\n').next().unwrap().parse().unwrap();
            assert!(said.contains(&format!("Counted   {} events more", mark - end)), "{said}");
            end = mark;
        }
    }
}
