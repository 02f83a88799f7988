package embedded

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Credentials are the two users of an embedded engine: one that may do
// everything, and one that reads.
type Credentials struct {
	User           string `json:"user"`
	Password       string `json:"password"`
	ReaderUser     string `json:"reader_user"`
	ReaderPassword string `json:"reader_password"`
}

func (c Credentials) isZero() bool { return c == Credentials{} }

func (c Credentials) validate() error {
	if c.User == "" || c.Password == "" {
		return errors.New("user and password must not be empty")
	}
	if c.ReaderUser != "" && (c.ReaderPassword == "" || c.ReaderUser == c.User) {
		return errors.New("the reader wants a password and a name of its own")
	}
	return nil
}

// credentialsFile stands in the data directory, beside what the engine keeps.
const credentialsFile = "tasktrail-credentials.json"

// LoadCredentials reads the users of a data directory and makes them up, readable
// by this user alone, where there are none. Two that do it at once end up with
// the same.
func LoadCredentials(dataDir string) (Credentials, error) {
	path := filepath.Join(dataDir, credentialsFile)
	c, err := readCredentials(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return c, fmt.Errorf("embedded ClickHouse: data directory: %w", err)
	}
	c = Credentials{User: "tasktrail", Password: rand.Text(), ReaderUser: "tasktrail_reader", ReaderPassword: rand.Text()}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return c, fmt.Errorf("encode credentials: %w", err)
	}
	// A link fails where the file exists, a rename would replace it.
	tmp, err := os.CreateTemp(dataDir, credentialsFile+".*") // 0600
	if err != nil {
		return c, fmt.Errorf("write credentials: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return c, fmt.Errorf("write credentials: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return c, fmt.Errorf("write credentials: %w", err)
	}
	return readCredentials(path)
}

func readCredentials(path string) (Credentials, error) {
	var c Credentials
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read credentials: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("read credentials %s: %w", path, err)
	}
	if err := c.validate(); err != nil {
		return c, fmt.Errorf("read credentials %s: %w", path, err)
	}
	return c, nil
}
