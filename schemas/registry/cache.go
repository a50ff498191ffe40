package registry

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/renameio/v2/maybe"
)

// idCache keeps the ids that a registry gave in a file, so that schemas that were
// registered once can be used while the registry is away, and a registry that gives
// another id than before is noticed. The file belongs to one registry: with other
// addresses it is begun anew.
type idCache struct {
	file string // "": nothing is kept
	log  *slog.Logger

	mu      sync.Mutex
	content cachedIDs
	has     map[idKey]int // what content was told last of a key, so that it is digested once
}

// cachedIDs is the file's content.
type cachedIDs struct {
	Registry string         `json:"registry"` // digest of its addresses
	IDs      map[string]int `json:"ids"`      // by cacheKey
	// those that the registry has shown to be wrong, until it has given others
	Former map[string]int `json:"former,omitempty"`
}

// openIDCache reads the file. One that can't be read, or is of another
// registry, counts as empty: all that is lost is the start without a registry.
func openIDCache(file string, urls []string, log *slog.Logger) *idCache {
	c := &idCache{file: file, log: log, has: map[idKey]int{}, content: cachedIDs{Registry: digestOf(strings.Join(addresses(urls), "\n")), IDs: map[string]int{}}}
	if file == "" {
		return c
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c
	}
	var stored cachedIDs
	if err == nil {
		err = json.Unmarshal(text, &stored)
	}
	switch {
	case err != nil:
		log.Warn("the schema ids kept from earlier can't be read and are asked for again", "file", file, "error", err)
	case stored.Registry == c.content.Registry && stored.IDs != nil:
		c.content = stored
	}
	return c
}

// find gives the id of an earlier answer, 0 for none.
func (c *idCache) find(k idKey) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.content.IDs[cacheKey(k)]
}

// former gives the id of an earlier answer, be it right or wrong by now; 0 for none.
func (c *idCache) former(k idKey) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.content.IDs[cacheKey(k)], c.content.Former[cacheKey(k)])
}

// put keeps an id. A file that can't be written is complained of and changes nothing else.
func (c *idCache) put(k idKey, id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == "" || c.has[k] == id {
		return
	}
	c.has[k] = id
	key := cacheKey(k)
	if c.content.IDs[key] == id {
		return
	}
	c.content.IDs[key] = id
	delete(c.content.Former, key)
	if err := c.write(); err != nil {
		c.log.Warn("a schema's id can't be kept; without the registry the next start will wait for it", "file", c.file, "error", err)
	}
}

// drop notes that an id is wrong.
func (c *idCache) drop(k idKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.has, k)
	key := cacheKey(k)
	id, ok := c.content.IDs[key]
	if !ok {
		return
	}
	if c.content.Former == nil {
		c.content.Former = map[string]int{}
	}
	c.content.Former[key] = id
	delete(c.content.IDs, key)
	if err := c.write(); err != nil {
		c.log.Warn("a schema's id that is wrong can't be taken out of the file; a start without the registry would use it", "file", c.file, "error", err)
	}
}

// write replaces the file as a whole: a crash leaves the old or
// the new one, or on Windows a broken one, which counts as empty.
func (c *idCache) write() error {
	text, err := json.MarshalIndent(c.content, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.file), 0o700); err != nil {
		return err
	}
	if err := maybe.WriteFile(c.file, text, 0o600); err != nil {
		return err
	}
	// an id that was taken out is not to be back after a loss of power
	if folder, err := os.Open(filepath.Dir(c.file)); err == nil {
		_ = folder.Sync() // Windows and some file systems can't
		_ = folder.Close()
	}
	return nil
}

// addresses are the URLs without credentials, in one order.
func addresses(urls []string) []string {
	var clean []string
	for _, text := range urls {
		if address, _, err := cleanURL(text); err == nil {
			clean = append(clean, address)
		}
	}
	slices.Sort(clean)
	return clean
}

func cacheKey(k idKey) string { return fmt.Sprintf("%s %s", k.subject, digestOf(k.schema)) }

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
