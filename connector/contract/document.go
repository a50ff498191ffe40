package contract

// APIVersion is that of the standard.
const APIVersion = "v3.1.0"

// Document is a data contract. Its members are the standard's.
type Document struct {
	APIVersion  string      `json:"apiVersion"`
	Kind        string      `json:"kind"`
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Version     string      `json:"version"` // another one as soon as anything in the document is
	Status      string      `json:"status"`
	Tenant      string      `json:"tenant"`
	Description Description `json:"description"`
	Servers     []Server    `json:"servers,omitempty"`
	Schema      []Topic     `json:"schema"`
	SLA         []SLA       `json:"slaProperties,omitempty"`
}

// Description says what the data is for, and how to read it.
type Description struct {
	Purpose     string `json:"purpose"`
	Usage       string `json:"usage"`
	Limitations string `json:"limitations"`
}

// Server is a Kafka cluster, with the format of some of the topics in it.
type Server struct {
	Server string   `json:"server"`
	Type   string   `json:"type"` // "kafka"
	Host   string   `json:"host"` // brokers by comma
	Format string   `json:"format"`
	Custom []Custom `json:"customProperties,omitempty"`
}

// Topic is the standard's object of a schema.
type Topic struct {
	Name         string     `json:"name"`
	PhysicalName string     `json:"physicalName"`
	PhysicalType string     `json:"physicalType"` // "topic"
	LogicalType  string     `json:"logicalType"`  // "object"
	Description  string     `json:"description"`
	Tags         []string   `json:"tags,omitempty"` // those of its properties
	Properties   []Property `json:"properties"`
	Quality      []Quality  `json:"quality"`
	Custom       []Custom   `json:"customProperties"`
}

// Property is a field.
type Property struct {
	Name         string     `json:"name,omitempty"` // items of a list have none
	BusinessName string     `json:"businessName,omitempty"`
	LogicalType  string     `json:"logicalType,omitempty"`
	PhysicalType string     `json:"physicalType"`
	Description  string     `json:"description,omitempty"`
	Required     bool       `json:"required,omitempty"`
	Tags         []string   `json:"tags,omitempty"`
	Custom       []Custom   `json:"customProperties,omitempty"`
	Items        *Property  `json:"items,omitempty"`
	Properties   []Property `json:"properties,omitempty"`
}

// Quality is a rule that holds, as a text for people.
type Quality struct {
	Type        string `json:"type"` // "text"
	Dimension   string `json:"dimension"`
	Description string `json:"description"`
}

// SLA is what is promised of the service.
type SLA struct {
	Property    string `json:"property"`
	Value       any    `json:"value"`
	Unit        string `json:"unit,omitempty"`
	Element     string `json:"element"`
	Description string `json:"description"`
}

// Custom is a property that the standard does not know.
type Custom struct {
	Property string `json:"property"`
	Value    string `json:"value"`
}
