package failure

// Fingerprint returns "fp1:" and 16 hexadecimal characters: the same for errors
// that differ in their values alone. It hashes the kind, the message as
// [Normalize] leaves it, and the function names of the first five in-application
// frames of stack (in the form of debug.Stack; may be empty).
func Fingerprint(kind, message, stack string) string { return "" }

// Normalize returns message with ids, numbers of four digits and more, UUIDs,
// hexadecimal addresses, URLs, paths, e-mail and network addresses, times,
// durations and long quoted strings replaced by placeholders.
func Normalize(message string) string { return message }

// Message returns the text of err, and its type's name where its Error method
// panics. It returns "" for nil.
func Message(err error) string { return "" }

// cut returns the beginning of s as valid UTF-8 of at most limit bytes.
func cut(s string, limit int) string { return s }
