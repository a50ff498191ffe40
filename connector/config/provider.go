package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Lookup reads one variable of the environment; os.LookupEnv is one.
type Lookup func(name string) (value string, found bool)

// referencePattern is Kafka's (ConfigTransformer.DEFAULT_PATTERN): ${provider:[path:]key}.
// What has no colon, such as ${object} in a topic template, is not a reference.
var referencePattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$\{([^}]*?):(([^}]*?):)?([^}]*?)\}`)
})

// hasReference tells whether a value takes something from outside the configuration.
func hasReference(value string) bool { return referencePattern().MatchString(value) }

// onlyReferences tells whether nothing of a value stands in the configuration itself.
func onlyReferences(value string) bool {
	return hasReference(value) && strings.TrimSpace(referencePattern().ReplaceAllString(value, "")) == ""
}

// openPattern is what begins as a reference and has no end.
var openPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$\{(env|file|dir):[^}]*$`)
})

// resolve replaces every reference in value. What a reference gives is not searched
// for references again, so it is also the way to write a value that holds "${".
func resolve(value string, env Lookup) (string, *fault) {
	var failed *fault
	resolved := referencePattern().ReplaceAllStringFunc(value, func(reference string) string {
		groups := referencePattern().FindStringSubmatch(reference)
		text, f := provide(groups[1], groups[3], groups[4], env)
		if f != nil && failed == nil {
			failed = f
		}
		return text
	})
	if failed == nil && openPattern().MatchString(value) {
		failed = &fault{"the reference has no }", "end it with }: ${env:NAME}"}
	}
	if failed != nil {
		return "", failed
	}
	return resolved, nil
}

// provide asks one provider.
func provide(provider, path, key string, env Lookup) (string, *fault) {
	switch provider {
	case "env":
		return fromEnv(path, key, env)
	case "file":
		return fromFile(path, key)
	case "dir":
		return fromDir(path, key)
	}
	return "", &fault{fmt.Sprintf("there is no config provider %q", provider),
		"write ${env:NAME}, ${file:/path:key} or ${dir:/folder:file}"}
}

func fromEnv(path, name string, env Lookup) (string, *fault) {
	if path != "" {
		return "", &fault{"a reference to the environment has one part", "write ${env:NAME}"}
	}
	value, found := env(name)
	if !found {
		return "", &fault{"the environment variable " + name + " is not set", "set it where coupastream is started"}
	}
	return value, nil
}

func fromFile(path, key string) (string, *fault) {
	if path == "" {
		return "", &fault{"the reference to a file lacks the file or the key", "write ${file:/path:key}"}
	}
	content, f := readSmall(path)
	if f != nil {
		return "", &fault{path + ": " + f.message, f.remedy}
	}
	members, f := parseProperties(content)
	if f != nil {
		return "", &fault{path + ": " + f.message, f.remedy}
	}
	// of a key that stands twice Java's Properties keep the last
	for _, m := range slices.Backward(members) {
		if m.key == key {
			return m.text, nil
		}
	}
	if len(members) == 0 {
		return "", &fault{path + " has no keys", "write " + key + " = … into it"}
	}
	// keys are not named: such a file's is the secret
	return "", &fault{path + " has no key " + key, "write " + key + " = … into it; if the file is the secret itself, write ${dir:folder:file}"}
}

// fromDir gives a file's content without surrounding white space: mounted secrets often end in a line break.
func fromDir(folder, file string) (string, *fault) {
	if folder == "" || file != filepath.Base(file) || file == "." || file == ".." {
		return "", &fault{"the reference to a folder needs the folder and a plain file name in it", "write ${dir:/folder:file}"}
	}
	path := filepath.Join(folder, file)
	content, f := readSmall(path)
	if f != nil {
		return "", &fault{path + ": " + f.message, f.remedy}
	}
	return strings.TrimSpace(string(content)), nil
}
