package sidecar

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tasktrail/tasktrail/agent"
)

// sign vouches for one attempt of a task, so that its callback needs no token.
func (s *Sidecar) sign(id string, run, number int) string {
	mac := hmac.New(sha256.New, s.key)
	fmt.Fprintf(mac, "%s\x00%d\x00%d", id, run, number)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// progressURL is where the callback of an attempt reports to.
func (s *Sidecar) progressURL(at agent.Attempt) string {
	q := url.Values{
		"run": {strconv.Itoa(at.Run)}, "attempt": {strconv.Itoa(at.Number)}, "sig": {s.sign(at.TaskID, at.Run, at.Number)},
	}
	return s.base + "/v1/tasks/" + url.PathEscape(at.TaskID) + "/progress?" + q.Encode()
}

// maxProgress bounds a report, and maxProgressText its message.
const (
	maxProgress     = 8 << 10
	maxProgressText = 1 << 10
)

// postProgress takes a report of the attempt that its URL names.
func (s *Sidecar) postProgress(w http.ResponseWriter, r *http.Request) error {
	id, q := r.PathValue("id"), r.URL.Query()
	run, err1 := strconv.Atoi(q.Get("run"))
	number, err2 := strconv.Atoi(q.Get("attempt"))
	if err1 != nil || err2 != nil || !hmac.Equal([]byte(q.Get("sig")), []byte(s.sign(id, run, number))) {
		return problemOf(codeForbidden, "report to the URL that came with the attempt, unchanged")
	}
	body, err := readBody(w, r, maxProgress)
	if err != nil {
		return err
	}
	var p struct {
		Fraction *float64 `json:"fraction"`
		Done     float64  `json:"done"`
		Total    float64  `json:"total"`
		Message  string   `json:"message"`
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return malformed(err)
	}
	if p.Fraction != nil {
		p.Done, p.Total = *p.Fraction, 1
	}
	if p.Done < 0 || p.Total < 0 || math.IsInf(p.Done, 0) || math.IsInf(p.Total, 0) {
		return invalid("done", "done, total and fraction are numbers from 0 on")
	}
	v, _ := s.running.Load(id)
	a, _ := v.(*attempt)
	if a == nil || a.run != run || a.number != number {
		return problemOf(codeNotRunning, "attempt %d of run %d is not running any more", number, run)
	}
	if len(p.Message) > maxProgressText {
		p.Message = strings.ToValidUTF8(p.Message[:maxProgressText], "")
	}
	agent.Progress(a.ctx, p.Done, p.Total, p.Message)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
