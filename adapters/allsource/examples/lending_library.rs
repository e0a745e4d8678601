//! A library in two branches lends its books; three clerks serve readers at the same time, and want the same books.
//!
//! ```text
//! cargo run --release -p annals-allsource --example lending_library -- [DIR]
//! ```
//!
//! Each run is a day. A book is an event stream, a branch is a tenant. The clerks know nothing but the repository that
//! allsource's container hands out: they load a stream, decide, and append if nobody else was faster; who was slower looks
//! again. Without DIR the log is kept in `target/lending-library`; run again, the library goes on where it was, also after a
//! crash.

use allsource_core::AllSourceError;
use allsource_core::domain::entities::{Event, EventStream};
use allsource_core::domain::repositories::EventStreamRepository;
use allsource_core::domain::value_objects::{EntityId, TenantId};
use allsource_core::infrastructure::di::ContainerBuilder;
use annals_allsource::StreamRepository;
use serde_json::json;
use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

const BRANCHES: [&str; 2] = ["north", "south"];
const BOOKS: [(&str, &str); 6] = [
    ("emma", "north"),
    ("faust", "north"),
    ("moby-dick", "north"),
    ("dracula", "south"),
    ("ivanhoe", "south"),
    ("walden", "south"),
];
const READERS: [&str; 3] = ["Anna", "Bela", "Clara"];
/// How often a clerk goes through all books in a day.
const ROUNDS: usize = 5;

/// Errors travel from the tasks to the end of `main`.
type Failure = Box<dyn Error + Send + Sync>;
type Streams = Arc<dyn EventStreamRepository>;

/// What a clerk did in a day.
#[derive(Debug, Default)]
struct Day {
    lent: u32,
    returned: u32,
    sent_away: u32,
    /// Somebody else was faster.
    looked_again: u32,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "target/lending-library".into());
    run(Path::new(&directory), &mut io::stdout()).await
}

async fn run(directory: &Path, out: &mut (impl Write + Send)) -> Result<(), Failure> {
    let repository = StreamRepository::open(directory)?;
    let container = ContainerBuilder::new()
        .with_in_memory_repositories()
        .with_event_stream_repository(Arc::new(repository.clone()))
        .try_build()?;
    let streams = container.event_stream_repository();

    let (found, streams_found) = (repository.log().last_position(), streams.count_streams().await?);
    let mut calendar = streams.get_or_create_stream(&EntityId::new("calendar".into())?).await?;
    let opened = event("library.opened", "calendar", "library", "")?;
    let day = streams.append_to_stream(&mut calendar, opened).await?;
    writeln!(out, "Day {day}. Found in {}: {found} events in {streams_found} streams", directory.display())?;

    let clerks = READERS.map(|reader| tokio::spawn(serve(streams.clone(), reader)));
    for (reader, clerk) in READERS.into_iter().zip(clerks) {
        let Day { lent, returned, sent_away, looked_again } = clerk.await??;
        write!(
            out,
            "  {reader:<6} borrowed {lent:>2}, returned {returned:>2}, was sent away {sent_away:>2} times; "
        )?;
        writeln!(out, "her clerk had to look again {looked_again} times")?;
    }
    report(&streams, out).await?;
    Ok(repository.log().close()?)
}

/// A clerk at work, for one reader, who wants every book, and brings it back.
async fn serve(streams: Streams, reader: &str) -> Result<Day, Failure> {
    let mut day = Day::default();
    for _ in 0..ROUNDS {
        for (book, branch) in BOOKS {
            let id = EntityId::new(format!("book/{book}"))?;
            loop {
                let mut stream = streams.get_or_create_stream(&id).await?;
                let (kind, count) = match holder(&stream)? {
                    None => ("book.lent", &mut day.lent),
                    Some(holder) if holder == reader => ("book.returned", &mut day.returned),
                    Some(_) => {
                        day.sent_away += 1;
                        break;
                    }
                };
                stream.expect_version(stream.current_version());
                match streams.append_to_stream(&mut stream, event(kind, id.as_str(), branch, reader)?).await {
                    Ok(_) => {
                        *count += 1;
                        break;
                    }
                    Err(AllSourceError::ConcurrencyError(_)) => day.looked_again += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    Ok(day)
}

fn event(kind: &str, entity: &str, tenant: &str, reader: &str) -> Result<Event, AllSourceError> {
    Event::from_strings(kind.into(), entity.into(), tenant.into(), json!({"reader": reader}), None)
}

/// Who has a book. What cannot be (lent to two, returned by somebody else) is an error.
fn holder(stream: &EventStream) -> Result<Option<&str>, Failure> {
    let mut holder = None;
    for event in stream.events_from(1) {
        let reader = event.payload()["reader"].as_str();
        holder = match (event.event_type_str(), holder) {
            ("book.lent", None) => reader,
            ("book.returned", Some(_)) if holder == reader => None,
            (kind, _) => {
                return Err(
                    format!("{}: {kind} for {reader:?}, but {holder:?} has it", stream.stream_id()).into()
                );
            }
        };
    }
    Ok(holder)
}

async fn report(streams: &Streams, out: &mut (impl Write + Send)) -> Result<(), Failure> {
    writeln!(
        out,
        "\n{:<8}{:<16}{:>11}{:>9}{:>11}  where it is",
        "branch", "book", "partition", "version", "watermark"
    )?;
    let mut events = 0;
    for branch in BRANCHES {
        for stream in streams.get_streams_by_tenant(&TenantId::new(branch.into())?).await? {
            let (id, version) = (stream.stream_id(), stream.current_version());
            let (partition, watermark) =
                (stream.partition_key().partition_id(), streams.get_watermark(id).await?);
            let place =
                holder(&stream)?.map_or("on the shelf".to_owned(), |reader| format!("{reader} has it"));
            writeln!(
                out,
                "{branch:<8}{:<16}{partition:>11}{version:>9}{watermark:>11}  {place}",
                id.as_str()
            )?;
            if !streams.verify_gapless(id).await? {
                return Err(format!("{id} has gaps").into());
            }
            events += version;
        }
    }
    let partitions = streams.partition_stats().await?;
    writeln!(out, "\n{} streams in {} partitions", streams.count_streams().await?, partitions.len())?;
    writeln!(
        out,
        "Books changed hands {events} times: always lent from the shelf, always returned by who had them."
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn the_library_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        for day in 1..=3 {
            let mut out = Vec::new();
            run(dir.path(), &mut out).await.unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.starts_with(&format!("Day {day}. ")), "{text}");
            assert_eq!(text.lines().filter(|line| line.contains("book/")).count(), BOOKS.len(), "{text}");
            assert!(text.contains("7 streams in "), "{text}");
        }
    }
}
