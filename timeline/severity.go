package timeline

import "fmt"

// Severity says how grave an event is; it follows from the type alone.
type Severity uint8

// The severities of events, rising.
const (
	SeverityInfo Severity = iota
	SeverityWarning
	SeverityError
	SeverityCritical
)

var severityNames = [...]string{"info", "warning", "error", "critical"}

// String returns the lower-case name.
func (s Severity) String() string { return severityNames[min(int(s), len(severityNames)-1)] }

// ParseSeverity reads a lower-case name.
func ParseSeverity(s string) (Severity, bool) {
	for i, n := range severityNames {
		if n == s {
			return Severity(i), true
		}
	}
	return 0, false
}

// MarshalText gives the lower-case name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a lower-case name.
func (s *Severity) UnmarshalText(b []byte) error {
	v, ok := ParseSeverity(string(b))
	if !ok {
		return fmt.Errorf("severity %.32q: want info, warning, error or critical", b)
	}
	*s = v
	return nil
}

// AlertSeverity says how loudly a failed task calls: what people are woken for.
// It follows from the task's amount and type, see [Thresholds.Classify].
type AlertSeverity uint8

// The severities of alerts, rising. AlertNone is the zero value of events that
// concern no alert.
const (
	AlertNone AlertSeverity = iota
	AlertMedium
	AlertHigh
	AlertCritical
)

var alertSeverityNames = [...]string{"", "medium", "high", "critical"}

// IsZero reports whether no alert is meant.
func (s AlertSeverity) IsZero() bool { return s == AlertNone }

// String returns the lower-case name, empty for AlertNone.
func (s AlertSeverity) String() string {
	return alertSeverityNames[min(int(s), len(alertSeverityNames)-1)]
}

// ParseAlertSeverity reads medium, high or critical.
func ParseAlertSeverity(s string) (AlertSeverity, bool) {
	for i, n := range alertSeverityNames {
		if i > 0 && n == s {
			return AlertSeverity(i), true
		}
	}
	return AlertNone, false
}

// MarshalText gives the lower-case name.
func (s AlertSeverity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads medium, high, critical or nothing.
func (s *AlertSeverity) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*s = AlertNone
		return nil
	}
	v, ok := ParseAlertSeverity(string(b))
	if !ok {
		return fmt.Errorf("alert severity %.32q: want medium, high or critical", b)
	}
	*s = v
	return nil
}
