//! The log: lines on standard error, for people or as JSON.

use std::io::IsTerminal;
use std::time::{Duration, Instant};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogFormat, LogLevel};

/// Starts the log of this process; a second call changes nothing.
pub fn init(format: LogFormat, level: LogLevel) {
    let colours = std::io::stderr().is_terminal();
    let subscriber = subscriber(format, level, colours, std::io::stderr);
    // refused when there is one already, which only tests do
    let _ = tracing::subscriber::set_global_default(subscriber);
}

fn subscriber<W>(format: LogFormat, level: LogLevel, colours: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_max_level(filter(level)).with_ansi(colours).with_writer(writer);
    match format {
        LogFormat::Human => Box::new(builder.with_target(false).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

/// A problem that stays the same is logged again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// Keeps one problem that occurs again and again from filling the log.
#[derive(Debug, Default)]
pub struct Repeats(Option<(String, Instant)>);

impl Repeats {
    /// Whether `text` is to be logged: it is another one than the last, or a minute has passed.
    pub fn is_news(&mut self, text: &str) -> bool {
        let news = self.0.as_ref().is_none_or(|(last, at)| last != text || at.elapsed() >= AGAIN);
        if news {
            self.0 = Some((text.to_owned(), Instant::now()));
        }
        news
    }

    /// The problem is over.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: LogLevel) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, level, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(peer = "b", "two\nlines");
            tracing::debug!("detail");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_for_people_names_level_text_and_fields() {
        let text = logged(LogFormat::Human, LogLevel::Info);
        assert!(text.contains("INFO") && text.contains("peer=\"b\""), "{text}");
        assert!(!text.contains("detail") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn json_is_one_object_per_line() {
        let text = logged(LogFormat::Json, LogLevel::Debug);
        assert_eq!(text.lines().count(), 2, "{text}");
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((&line["level"], &line["peer"]), (&"INFO".into(), &"b".into()));
        assert_eq!(line["message"], "two\nlines");
    }

    #[test]
    fn a_problem_is_news_once() {
        let mut repeats = Repeats::default();
        assert!(repeats.is_news("a") && !repeats.is_news("a") && repeats.is_news("b"));
        repeats.clear();
        assert!(repeats.is_news("b"));
    }

    #[test]
    fn levels_are_thresholds() {
        assert_eq!(logged(LogFormat::Human, LogLevel::Off), "");
        assert_eq!(logged(LogFormat::Human, LogLevel::Warn), "");
        assert!(logged(LogFormat::Human, LogLevel::Trace).contains("detail"));
    }
}
