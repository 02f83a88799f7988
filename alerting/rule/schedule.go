package rule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when runs are due: at the times of a cron expression, or every
// so often counted from the last one.
type Schedule struct {
	Cron  string
	Every time.Duration
	spec  cron.Schedule
}

// cronParser takes five fields or a descriptor such as @daily, with a time zone
// before it as CRON_TZ=Europe/Paris.
var cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// ParseCron reads a cron expression in a time zone; an empty zone is UTC.
func ParseCron(expr, zone string) (Schedule, error) {
	if zone == "" {
		zone = "UTC"
	}
	if _, err := time.LoadLocation(zone); err != nil {
		return Schedule{}, fmt.Errorf("time zone %.64q: want a name such as Europe/Paris", zone)
	}
	if strings.Contains(expr, "TZ=") {
		return Schedule{}, errors.New("the time zone goes into timezone")
	}
	if strings.HasPrefix(strings.TrimSpace(expr), "@every") {
		return Schedule{}, errors.New("use every for a period")
	}
	spec, err := parseSpec("CRON_TZ=" + zone + " " + strings.TrimSpace(expr))
	if err != nil {
		return Schedule{}, fmt.Errorf("cron expression %.100q: want five fields, minute hour day month weekday, or @hourly, @daily, @weekly, @monthly: %w", expr, err)
	}
	s := Schedule{Cron: expr, spec: spec}
	if spec.Next(time.Unix(0, 0)).IsZero() {
		return Schedule{}, fmt.Errorf("cron expression %.100q: no day has this date", expr)
	}
	return s, nil
}

// parseSpec keeps a panic of the parser on odd input an error.
func parseSpec(s string) (spec cron.Schedule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return cronParser.Parse(s)
}

// IsZero reports whether there is no schedule.
func (s Schedule) IsZero() bool { return s.spec == nil && s.Every == 0 }

// maxOccurrences bounds how many due times are looked at in one evaluation.
const maxOccurrences = 1_000

// last gives the latest due time of a cron expression within (from, to], zero
// where there is none. Of more than maxOccurrences the first ones count: it is
// asked again.
func (s Schedule) last(from, to time.Time) (last time.Time) {
	at := from
	for range maxOccurrences {
		next := s.spec.Next(at)
		if next.IsZero() || next.After(to) {
			return last
		}
		last, at = next, next
	}
	return last
}
